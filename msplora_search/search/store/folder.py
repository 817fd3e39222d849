"""The output folder of a run: made for it, kept from other runs, and gone again where nothing came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from msplora_search.errors import InputError
from msplora_search.text import printable

ASKING = ".asking.lock"
"""Held while a trial is asked for and begun."""
HOLDER = ".asking.holder"
"""Who holds it: process number and host."""
LOCK = ".lock"
OWN = {LOCK, ASKING, HOLDER}
"""What a run leaves in its folder, whatever becomes of it."""


@contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Make the output folder and keep other runs out of it; where nothing came into it, it goes again."""
    lock = FileLock(output / LOCK)
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1)  # is_running looks for a moment
    except Timeout:
        raise InputError(
            f"--output {output}: another run is at work there; wait for it, or name another"
        ) from None
    except OSError as error:
        _remove(made)
        raise unusable(output, error.strerror or str(error)) from None
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # deleted while it ran
            if made and {path.name for path in output.iterdir()} <= OWN:
                for name in OWN:
                    (output / name).unlink(missing_ok=True)
                _remove(made)


def is_running(output: Path) -> bool:
    """Whether a run is, or may be, at work in an output folder. Makes no file."""
    path = output / LOCK
    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # of another user: the lock cannot be tried
        return True


def _remove(folders: list[Path]) -> None:
    """Remove the folders that were made, the innermost first, as far as they are empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def unusable(output: Path, why: str) -> InputError:
    """How a folder that cannot be the output is spoken of."""
    return InputError(f"--output {printable(str(output))}: {why}; name a folder that can be written")
