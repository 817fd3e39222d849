"""Counts of a model that is never loaded: its structure is built without storage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from msplora_search.adapters.anatomy import Anatomy, AnatomyError, dissect
from msplora_search.adapters.foreign import loading
from msplora_search.adapters.hub import CODE, load_config
from msplora_search.design.depth import MOST_RANK, split_by_fractions
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.text import brief

LORA_RANKS = (1, 2, 4, 8, 16, 32, 64)
MOST_MODULES = 100_000
WHOLE, PART = re.compile(r"[0-9]{1,6}"), re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


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
    levels, parts, names = _ranks(ranks), _parts(groups), _names(targets)
    anatomy = anatomy_of(model, names)
    try:
        boundaries = split_by_fractions(parts, anatomy.layers)
    except ValueError as error:
        raise InputError(f"--groups {brief(groups)}: {error}") from None
    try:
        pyramid = Pyramid.from_split(levels, boundaries, anatomy.targets)
    except ValueError as error:
        raise InputError(f"--ranks {ranks}: {error}") from None
    try:
        params = anatomy.count(pyramid)
    except AnatomyError as error:
        raise InputError(f"--groups {brief(groups)}: {error}") from None
    beside = sorted({*LORA_RANKS, levels[0]} - {0})
    return Census(
        anatomy.stack,
        anatomy.layers,
        pyramid,
        params,
        {rank: anatomy.count(Pyramid.lora(rank, anatomy.layers, anatomy.targets)) for rank in beside},
    )


def anatomy_of(model: str, targets: Sequence[str]) -> Anatomy:
    """The sites of a model by its configuration alone, see `load_config`.

    Raises InputError where there is no such model, it cannot be built, or a target matches nothing in it.
    """
    config = load_config(model)
    with loading(model, "cannot be built from its config.json", code=CODE), bounded(model), torch.device("meta"):
        bare = _bare(config)
    try:
        return dissect(bare, targets)
    except AnatomyError as error:
        raise InputError(f"targets {brief(','.join(targets))} on {brief(model, 200)}: {error}") from None


def _bare(config: Any) -> nn.Module:
    """The model's modules; drawing initial values, which nobody reads here, would take ten times as long."""
    from transformers import AutoModel
    from transformers.initialization import no_init_weights

    with no_init_weights():
        # A configuration may ask for attention from a package, or from a repository of the hub.
        made: nn.Module = AutoModel.from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=False, attn_implementation="eager"
        )
    return made


@contextmanager
def bounded(model: str) -> Iterator[None]:
    """Raise InputError when more than `MOST_MODULES` modules are made."""
    made = count(1)

    def tally(*_: object) -> None:
        if next(made) > MOST_MODULES:
            said = f"its config.json asks for more than {MOST_MODULES:,} modules"
            raise InputError(f"model {brief(model, 200)}: {said}")

    hook = register_module_module_registration_hook(tally)
    try:
        yield
    finally:
        hook.remove()


def _ranks(text: str) -> tuple[int, int, int]:
    parts = text.split("/")
    ranks = [int(part) for part in parts if WHOLE.fullmatch(part)]
    if len(parts) != 3 or len(ranks) != 3 or max(ranks) > MOST_RANK:
        form = f"three whole numbers of at most {MOST_RANK:,}, such as 8/4/2"
        raise InputError(f"--ranks {brief(text)}: must be {form}")
    return ranks[0], ranks[1], ranks[2]


def _parts(text: str) -> list[float]:
    parts = text.split("/")
    numbers = [float(part) for part in parts if PART.fullmatch(part)]
    if len(numbers) != len(parts) or min(numbers) <= 0:
        raise InputError(f"--groups {brief(text)}: must be positive parts such as 33/33/33")
    return numbers


def _names(targets: Sequence[str]) -> list[str]:
    names = [target.strip() for target in targets]
    if not names or not all(names) or max(map(len, names)) > 200:
        form = "names of modules or roles, such as query,value"
        raise InputError(f"--targets {brief(','.join(targets))}: must be {form}")
    return names
