"""Reads a trained adapter from its folder, without any weight of its base: a pyramid's, or that of PEFT's LoRA."""

from __future__ import annotations

from pathlib import Path

from msplora_search.adapters import peft_format, pyramid_file
from msplora_search.analysis.lora_reading import read_lora
from msplora_search.analysis.pyramid_reading import read_pyramid
from msplora_search.analysis.updates import Trained
from msplora_search.errors import InputError

WANTED = (
    "give a folder with adapter_config.json and adapter_model.safetensors, one of save_pyramid, the output of "
    "train, or its model/; or two output folders of run"
)


def read_trained(path: Path) -> Trained:
    """The adapter of a folder; of the output of `train`, its pyramid. Raises InputError naming what is wrong."""
    for folder in (path, path / "pyramid", path / "model" / "pyramid"):
        if (folder / pyramid_file.CONFIG).is_file():
            return read_pyramid(folder, name_of(path))
    for folder in (path, path / "peft"):
        if (folder / peft_format.CONFIG).is_file():
            return read_lora(folder, name_of(path))
    if not path.exists():
        raise InputError(f"{path}: is not there; {WANTED}")
    raise InputError(f"{path}: holds no adapter; {WANTED}")


def name_of(path: Path) -> str:
    """What an adapter is called after its folder; names that the program gives to all are passed over."""
    return beside(path).name or "adapter"


def beside(path: Path) -> Path:
    """The output of `train` that a folder is, or lies in."""
    whole = path.resolve()
    while whole.name in ("pyramid", "peft", "model") and whole.parent.name:
        whole = whole.parent
    return whole
