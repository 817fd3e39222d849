"""The checkpoints of an output folder: which recipe they are of, and which of them is whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from msplora_search.errors import InputError
from msplora_search.files import write_whole
from msplora_search.settings.recipe import Recipe

CHECKPOINTS = "checkpoints"
IDENTITY = "recipe.sha256"
LATER: Mapping[str, Any] = {"optimization": "joint", "interference": 0, "lora_dropout": 0.0}
"""Fields of `training` that version 0.1 did not know, with what they were then: leaving them so changes no
recipe."""
NEW_COLUMNS = ("labels", "words", "choices", "question", "context", "answers", "stride", "chosen", "rejected")
LATER_OF_TASK: Mapping[str, Any] = dict.fromkeys((*NEW_COLUMNS, "turns", "beta", "pooling"))
"""The same of `task`."""


def identity(recipe: Recipe) -> str:
    """A text that differs between recipes whose results differ."""
    plain: dict[str, Any] = recipe.model_dump(mode="json", exclude={"name", "chosen", "versions"})
    training = plain["training"].items()
    plain["training"] = {name: value for name, value in training if LATER.get(name, ...) != value}
    task = plain["task"].items()
    plain["task"] = {name: value for name, value in task if LATER_OF_TASK.get(name, ...) != value}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def require_same_run(recipe: Recipe, output: Path) -> None:
    """Raise InputError where `output` holds the training of another recipe.

    A marker that was emptied or damaged says nothing, and good checkpoints are not condemned for it: it counts as
    missing, and is written anew.
    """
    marker = output / CHECKPOINTS / IDENTITY
    try:
        known = marker.read_text(encoding="ascii", errors="replace").strip() if marker.is_file() else ""
    except OSError as error:
        raise InputError(f"{marker}: cannot be read: {error.strerror or error}") from None
    if re.fullmatch("[0-9a-f]{64}", known) and known != identity(recipe):
        raise InputError(
            f"--output {output}: holds checkpoints of another recipe; name another folder, "
            f"or delete {marker.parent}"
        )


def mark_run(recipe: Recipe, output: Path) -> None:
    """Write down whose checkpoints will be in `output`. Raises InputError where it cannot be written."""
    try:
        (output / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        write_whole(output / CHECKPOINTS / IDENTITY, identity(recipe) + "\n")
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror}; name a folder that can be written") from None


def forget_run(output: Path) -> None:
    """Remove the checkpoints of a training that is done, and nothing else that may stand beside them."""
    folder = output / CHECKPOINTS
    for checkpoint in checkpoints(folder):
        shutil.rmtree(checkpoint, ignore_errors=True)
    (folder / IDENTITY).unlink(missing_ok=True)
    if folder.is_dir() and not folder.is_symlink() and not list(folder.iterdir()):
        folder.rmdir()


def checkpoints(folder: Path) -> list[Path]:
    """The folders of checkpoints as transformers' Trainer names them, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted((path for path in found if path.is_dir()), key=lambda path: int(path.name.rpartition("-")[2]))


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; half-written ones are removed."""
    found = checkpoints(folder)
    while found:
        newest = found.pop()
        if _is_whole(newest):
            return str(newest)
        shutil.rmtree(newest, ignore_errors=True)
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())  # the Trainer writes it last
        with safe_open(checkpoint / "model.safetensors", "pt") as file:
            return bool(file.keys()) and (checkpoint / "optimizer.pt").is_file()
    except (OSError, ValueError, SafetensorError):
        return False
