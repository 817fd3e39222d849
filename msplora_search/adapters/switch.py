"""What a model computes without its adapters, while they stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn

from msplora_search.adapters.bank import BANK, bank_of, pyramid_linear


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Let `model` compute as its base does: without its pyramid, or without its adapter of PEFT.

    A model that has neither computes as ever.
    """
    if not hasattr(model, BANK):
        theirs: Any = getattr(model, "disable_adapter", nullcontext)
        with theirs():
            yield
        return
    layers = [pyramid_linear(model, path) for path in bank_of(model).sites]
    for layer in layers:
        layer.off = True
    try:
        yield
    finally:
        for layer in layers:
            layer.off = False
