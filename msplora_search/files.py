"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def make_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder` and rename it into place, over what stood there before.

    Where `fill` fails, or the process dies, `folder` is as it was.
    """
    beside = folder.with_name(folder.name + ".part")
    before = folder.with_name(folder.name + ".old")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    if before.exists() and not folder.exists():  # it was killed between the two renames
        before.rename(folder)
    beside.mkdir(parents=True)
    try:
        fill(beside)
        _share(beside)
        if folder.exists():
            shutil.rmtree(before, ignore_errors=True)
            folder.rename(before)
        beside.rename(folder)
    except BaseException:
        if before.exists() and not folder.exists():
            before.rename(folder)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)


def _share(folder: Path) -> None:
    """Give every file the user's usual mode: safetensors leaves its own readable by their owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~umask)
