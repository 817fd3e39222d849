"""Writes files whole or not at all, and only our own; reads back what this program stored."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msplora_search.errors import DamagedError, InputError
from msplora_search.stopping import finishing

PART = ".msplora-part-"
"""Stands in the names of files and folders that are being written; what a killed process leaves has it too."""


def user_path(path: str) -> Path:
    """A path as a user writes it: `~` is the user's folder, unless there is no such user; nothing is a pattern."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def short(path: Path) -> str:
    """A path as the user would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def write_whole(path: Path, content: str | bytes, flush: bool = True) -> None:
    """Write a file beside `path`, flush it to the disk, and rename it into place.

    Text is UTF-8. Where that fails, `path` is as it was; a link at `path` is replaced, not followed. Without
    `flush`, what is lost with a machine's power is lost.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}{PART}", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        _share(beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def install(folder: Path, fill: Callable[[Path], None], last: str | None = None) -> None:
    """Let `fill` write files into a folder beside `folder`, then move each into `folder`, over its namesake.

    Whatever else stands in `folder` stays as it is, and so does all of it where `fill` fails or is stopped.
    `last`: see `move_into`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(folder):
        folder.mkdir(exist_ok=True)  # a file is refused before anything is made
    with beside(folder) as part:
        fill(part)
        move_into(folder, part, last)


def move_into(folder: Path, part: Path, last: str | None = None, moved: Callable[[], None] = lambda: None) -> None:
    """Move each file of `part`, on the same disk, into `folder`, over its namesake; no signal comes between.

    `last`: the file that says that the others are whole; it is taken away first and moved last. `moved` is called
    when all are there.
    """
    files = sorted((p for p in part.rglob("*") if not p.is_dir()), key=lambda p: str(p) == str(part / str(last)))
    for path in files:
        _to_disk(path)
    with finishing():
        folder.mkdir(exist_ok=True)
        if last is not None:
            (folder / last).unlink(missing_ok=True)
        for path in files:
            target = folder / path.relative_to(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        moved()


def make_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is this program's own, such as one of its cache: it appears whole or not at all.

    What stood there before goes. To be called by one process at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}{PART}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with beside(folder) as part:
        fill(part)
        for path in part.rglob("*"):
            if not path.is_dir():
                _to_disk(path)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)


def read_json(path: Path, remedy: str) -> Any:
    """The content of a JSON file of this program.

    Raises DamagedError with `remedy`, what to do, where it is damaged, InputError where it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error) or type(error).__name__, remedy) from None


def damaged(path: Path, what: str, remedy: str) -> DamagedError:
    """How every file that this program stored, and cannot read any more, is spoken of."""
    return DamagedError(f"{path}: is damaged ({' '.join(what.split())}); {remedy}")


def set_aside(path: Path) -> Path:
    """Rename a damaged file to a free name beside it, `NAME.damaged`, and return that."""
    aside, count = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists() or aside.is_symlink():
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{count}")
    return path.rename(aside)


def public_name(name: str) -> str:
    """The name of a model or a data set as it may leave this machine: of a path, its last part alone.

    An id such as org/model and a demo name stay as they are.
    """
    path = Path(name)
    try:
        local = path.is_absolute() or name.startswith((".", "~")) or path.exists()
    except (OSError, ValueError):  # no name of a file at all
        local = False
    return (path.name or path.resolve().name or "unnamed") if local else name


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, on the same disk; gone afterwards unless it was renamed.

    The folder that they lie in must be there.
    """
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}{PART}", dir=folder.parent))
    try:
        part.chmod(0o777 & ~_umask())
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _to_disk(path: Path) -> None:
    _share(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _share(path: Path) -> None:
    """Give a file the user's usual mode: temporary ones, and safetensors', are readable by their owner alone."""
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
