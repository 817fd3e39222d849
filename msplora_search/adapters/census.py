"""Counts of a model that is never loaded: its structure is built without storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from msplora_search.adapters.anatomy import Anatomy, AnatomyError, dissect
from msplora_search.design.depth import split_by_fractions
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError, suggest

LORA_RANKS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Census:
    """A pyramid's parameters on a model, beside plain LoRA's at several ranks."""

    stack: str
    layers: int
    pyramid: Pyramid
    adapter_params: int
    lora: dict[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "stack": self.stack,
            "layers": self.layers,
            "pyramid": self.pyramid.to_json(),
            "adapter_params": self.adapter_params,
            "lora": {str(rank): count for rank, count in self.lora.items()},
        }


def count_beside_lora(model: str, ranks: str, groups: str, targets: Sequence[str]) -> Census:
    """Count `ranks` such as 8/4/2 in `groups` such as 33/33/33 on `model`.

    Raises InputError naming the option that is wrong.
    """
    anatomy = anatomy_of(model, targets)
    levels = _numbers("--ranks", ranks, int, 3)
    try:
        boundaries = split_by_fractions(_numbers("--groups", groups, float), anatomy.layers)
    except ValueError as error:
        raise InputError(f"--groups {groups}: {error}") from None
    try:
        pyramid = Pyramid.from_split((levels[0], levels[1], levels[2]), boundaries, anatomy.targets)
    except ValueError as error:
        raise InputError(f"--ranks {ranks}: {error}") from None
    try:
        params = anatomy.count(pyramid)
    except AnatomyError as error:
        raise InputError(f"--groups {groups}: {error}") from None
    shown = sorted({*LORA_RANKS, levels[0]} - {0})
    return Census(
        anatomy.stack,
        anatomy.layers,
        pyramid,
        params,
        {rank: anatomy.count(Pyramid.lora(rank, anatomy.layers, anatomy.targets)) for rank in shown},
    )


def anatomy_of(model: str, targets: Sequence[str]) -> Anatomy:
    """The sites of a model by its configuration alone, see `load_config`.

    Raises InputError where there is no such model, or a target matches nothing in it.
    """
    from transformers import AutoModel

    with torch.device("meta"):
        bare = AutoModel.from_config(load_config(model))  # type: ignore[no-untyped-call]
    try:
        return dissect(bare, targets)
    except AnatomyError as error:
        raise InputError(f"targets {','.join(targets)} on {model}: {error}") from None


def load_config(model: str) -> Any:
    """The configuration of a config.json, a folder, an id, or a bare architecture at its default sizes."""
    from transformers import CONFIG_MAPPING, AutoConfig

    if model in CONFIG_MAPPING:
        return AutoConfig.for_model(model)
    path = Path(model).expanduser()
    if not path.exists() and ("/" not in model or path.is_absolute()):
        raise InputError(
            f"model {model!r}: is no file, folder or known architecture; give a config.json, a model folder, "
            f"an id such as org/name, or an architecture such as roberta{_meant(model)}"
        )
    try:
        return AutoConfig.from_pretrained(str(path) if path.exists() else model)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"model {model!r}: no usable config.json: {first}") from None


def _meant(architecture: str) -> str:
    from transformers import CONFIG_MAPPING

    said = suggest(architecture, CONFIG_MAPPING)
    return f" ({said})" if said.startswith("did you mean") else ""


def _numbers(option: str, text: str, kind: type[int] | type[float], count: int | None = None) -> list[Any]:
    try:
        numbers = [kind(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if not numbers or (count and len(numbers) != count):
        form = "three whole numbers such as 8/4/2" if count else "parts such as 33/33/33"
        raise InputError(f"{option} {text}: must be {form}")
    return numbers
