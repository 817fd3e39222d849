"""Draws weights that a checkpoint lacks anew from another seed, as the model draws them, without loading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

DONE = "_is_hf_initialized"
"""What transformers marks modules, parameters and buffers with that it shall not draw."""


def draw_anew(model: nn.Module, parameters: Sequence[nn.Parameter], seed: int) -> tuple[Tensor, ...]:
    """New values of `parameters`, in fp32 on the CPU, as `from_pretrained` draws them under this seed.

    transformers' own initialisation runs once more, and is let to these parameters alone. Leaves no trace: the
    model, its marks and what is random are as they were.
    """
    places = [parameter.data for parameter in parameters]
    with _alone(model, parameters), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            for parameter in parameters:
                parameter.data = torch.empty(parameter.shape)
            model.initialize_weights()  # type: ignore[operator]
            return tuple(parameter.data for parameter in parameters)
        finally:
            for parameter, place in zip(parameters, places, strict=True):
                parameter.data = place


@contextmanager
def _alone(model: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Mark all but `parameters`, and the modules that hold them, as drawn already."""
    drawn = {id(parameter) for parameter in parameters}
    marked: list[Any] = [*model.modules(), *model.parameters(), *model.buffers()]
    before = [vars(one).get(DONE) for one in marked]
    for module in model.modules():
        setattr(module, DONE, not any(id(parameter) in drawn for parameter in module.parameters()))
    for tensor in chain(model.parameters(), model.buffers()):
        setattr(tensor, DONE, id(tensor) not in drawn)
    try:
        yield
    finally:
        for one, mark in zip(marked, before, strict=True):
            if mark is None:
                delattr(one, DONE)
            else:
                setattr(one, DONE, mark)
