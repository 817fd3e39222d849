"""A folder that is filled whole or not at all, and what is said where the program is stopped meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.files import beside, move_into, short
from msplora_search.stopping import say_when_stopped
from msplora_search.text import brief

LAST = "compress.json"


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, whose files are moved into it when all is done, and is gone otherwise.

    Raises InputError where `folder` cannot be written.
    """
    said = f"--to {brief(str(folder))}"
    if folder.is_symlink():
        raise InputError(f"{said}: is a link to another folder, which may not be ours; delete the link")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{said}: is a file; a folder is right")
    made = [place for place in folder.absolute().parents if not place.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with beside(folder) as part:
            yield part
            move_into(folder, part, LAST, lambda: say_when_stopped(f"{short(folder)} is whole"))
    except OSError as error:
        raise InputError(f"{said}: {error.strerror or error}; name a folder that can be written") from None
    finally:
        for place in made:
            with suppress(OSError):  # it has something in it
                place.rmdir()
