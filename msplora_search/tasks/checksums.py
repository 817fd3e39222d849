"""Tells whether the files of a folder are still those that were written into it."""

from __future__ import annotations

import hashlib
import json
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any

MANIFEST = ".checksums.json"
"""Lies in the folder: `{"files": {name: [bytes, sha256]}}`."""


def write_manifest(folder: Path) -> None:
    """List every file of `folder`, with its size and hash, in a file of its own there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = {path.relative_to(folder).as_posix(): [path.stat().st_size, sha256_of(path)] for path in files}
    (folder / MANIFEST).write_text(json.dumps({"files": listed}), encoding="utf-8")


def damage_of(folder: Path) -> str | None:
    """What is wrong with a folder that `write_manifest` was called on; None where nothing is.

    Hashes are computed once a process, and again where a file's size or times have changed.
    """
    try:
        listed = _listed(folder)
    except FileNotFoundError:
        return "it has no checksums, since it is incomplete or was made by an earlier version"
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"{MANIFEST} is damaged"
    return next((f"{name} is damaged" for name, known in listed.items() if _differs(folder / name, *known)), None)


def sha256_of(path: Path) -> str:
    """The hash of a file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(folder: Path) -> dict[str, tuple[Any, Any]]:
    manifest = folder / MANIFEST
    if not stat.S_ISREG(manifest.stat().st_mode):  # opening a pipe would wait for ever
        raise ValueError
    files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    return {str(name): (size, sha256) for name, (size, sha256) in files.items()}


def _differs(path: Path, size: Any, sha256: Any) -> bool:
    try:
        found = path.stat()
        regular = stat.S_ISREG(found.st_mode)
        return not regular or found.st_size != size or _known(path, _signs(path)) != sha256
    except OSError:
        return True


def _signs(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to or replaced."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


@lru_cache(maxsize=1024)
def _known(path: Path, signs: tuple[int, ...]) -> str:
    return sha256_of(path)
