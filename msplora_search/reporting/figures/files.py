"""Writes a picture or a table where the user asked for it, over nothing but its like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.files import write_whole
from msplora_search.reporting.figures.saving import SUFFIXES
from msplora_search.reporting.tables import Form, is_front_table

LOOKED_AT = 4096
"""Bytes by which a file is known."""


def write_picture(path: Path, content: Callable[[], bytes]) -> None:
    """Raises InputError where `path` holds anything but a picture of its suffix, or cannot be written."""
    _write(path, content, lambda head: _is_picture(head, path.suffix.lower()), "picture of that kind")


def write_table(path: Path, content: Callable[[], bytes]) -> None:
    """Raises InputError where `path` holds anything but a table of this program, or cannot be written."""
    form = Form(path.suffix.lower().removeprefix("."))
    first = "table of this program"
    _write(path, content, lambda h: is_front_table(h.decode("utf-8", "replace").partition("\n")[0], form), first)


def picture_suffix(path: Path) -> str:
    """`.png`, `.svg` or `.pdf`. Raises InputError for another."""
    if (suffix := path.suffix.lower()) not in SUFFIXES:
        raise InputError(f"--to {path}: ends in {path.suffix or 'no suffix'}; it must end in .png, .svg or .pdf")
    return suffix


def table_form(path: Path) -> Form:
    """Of its suffix. Raises InputError for another than those of tables."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in list(Form):
        raise InputError(f"--to {path}: ends in {path.suffix or 'no suffix'}; it must end in .csv, .md or .tex")
    return Form(suffix)


def _write(path: Path, content: Callable[[], bytes], ours: Callable[[bytes], bool], what: str) -> None:
    try:
        if path.is_symlink() or path.exists():
            known = path.is_file() and ours(_head(path))
            if not known:
                raise InputError(f"--to {path}: is there and no {what}; it is left as it is, give another name")
        if not path.parent.is_dir():
            raise InputError(f"--to {path}: there is no folder {path.parent}; make it first")
        write_whole(path, content())
    except OSError as error:
        raise InputError(f"--to {path}: cannot be written: {error.strerror or error}") from None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LOOKED_AT)


def _is_picture(head: bytes, suffix: str) -> bool:
    match suffix:
        case ".png":
            return head.startswith(b"\x89PNG\r\n\x1a\n")
        case ".pdf":
            return head.startswith(b"%PDF-")
        case _:
            return head.lstrip().startswith((b"<?xml", b"<svg")) and b"<svg" in head
