"""The user's cache folder, and folders in it that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from msplora_search.errors import InputError
from msplora_search.files import make_whole

CACHE_VARIABLE = "MSPLORA_SEARCH_CACHE"


def cache_root() -> Path:
    """Where demo packages and tokenised data are kept: $MSPLORA_SEARCH_CACHE, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser().resolve() if named else user_cache_path("msplora-search")


def cached_folder(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled by `make` on first use.

    Several processes may ask at once: one makes it, beside, and renames it into place.
    Raises InputError where the cache folder cannot be written.
    """
    folder = cache_root() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not folder.is_dir():
                make_whole(folder, make)
    except OSError as error:
        raise InputError(
            f"cache folder {cache_root()}: {error.strerror or error}; "
            f"set {CACHE_VARIABLE} to a folder that can be written and has room"
        ) from None
    return folder
