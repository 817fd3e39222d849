"""The user's cache folder, and folders in it that appear whole or not at all, and are made anew when damaged."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from msplora_search.errors import InputError
from msplora_search.files import make_whole
from msplora_search.tasks.checksums import damage_of, write_manifest
from msplora_search.text import printable

CACHE_VARIABLE = "MSPLORA_SEARCH_CACHE"
FORMAT = 4
"""Part of the key of tokenised data: to be raised when what is cached changes."""
PATIENCE = 10.0
"""Seconds to wait for another process before saying so."""


def cache_root() -> Path:
    """Where demo packages and tokenised data are kept: $MSPLORA_SEARCH_CACHE, or the user's cache folder.

    Raises InputError where the variable names the home of a user that there is not.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if not named:
        return user_cache_path("msplora-search")
    found = os.path.expanduser(named)
    if found.startswith("~"):
        raise InputError(f"{CACHE_VARIABLE} is {printable(named)}; there is no such user, so name a folder")
    return Path(os.path.abspath(found))


def cached_folder(
    name: str, make: Callable[[Path], None], damage: Callable[[Path], str | None] = damage_of
) -> Path:
    """The folder `name` of the cache, filled by `make` on first use, and again where it is damaged.

    Several processes may ask at once: one makes it, beside, and renames it into place. `damage` says
    what is wrong with a folder; by default, a file that is not what `make` wrote.
    Raises InputError where the cache folder cannot be written.
    """
    folder = cache_root() / name
    try:
        if folder.is_dir() and damage(folder) is None:
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            wrong = _wrong(folder, damage)
            if wrong is not None:
                sys.stderr.write(f"cache folder {name}: {wrong}; it is made anew\n")
            if wrong is not None or not folder.exists():
                _make(folder, make)
    except OSError as error:
        raise _fault(error) from None
    return folder


def _wrong(folder: Path, damage: Callable[[Path], str | None]) -> str | None:
    if folder.is_dir():
        return damage(folder)
    return "it is no folder" if os.path.lexists(folder) else None


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    def fill(part: Path) -> None:
        make(part)
        write_manifest(part)

    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    make_whole(folder, fill)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. A process that was killed holds none; one that hangs is told of."""
    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        sys.stderr.write(f"waiting for another process, which holds {lock.lock_file} ...\n")
        lock.acquire()
    except NotImplementedError:
        raise OSError(f"{folder.parent} lies on a file system without locks") from None
    try:
        yield
    finally:
        lock.release()


def _fault(error: OSError) -> InputError:
    """One line on a cache that cannot be written, or on another file that failed while it was filled."""
    root, said = cache_root(), error.strerror or str(error)
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | os.PathLike) else root
    if not (named.is_relative_to(root) or root.is_relative_to(named)):
        return InputError(f"{printable(str(named))}: {said}")
    return InputError(
        f"cache folder {root}: {said}; set {CACHE_VARIABLE} to a folder that can be written and has room"
    )
