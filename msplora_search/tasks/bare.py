"""A pretrained model without any head: what of it is not used, and so neither trained nor counted."""

from __future__ import annotations

import inspect
from collections.abc import Set

from torch import nn

POOLER, WITHOUT = "pooler", "add_pooling_layer"
"""What transformers calls a layer on the first token that few checkpoints have, and how to leave it out."""


def drop_unused(model: nn.Module, missing: Set[str]) -> Set[str]:
    """Take that layer off where the checkpoint lacks it and its class can; gives what else is `missing`.

    One that the checkpoint has stays, frozen: it costs a product a text, and a merged model is whole with it.
    """
    layer = getattr(model, POOLER, None)
    if not isinstance(layer, nn.Module):
        return missing
    unused = {f"{POOLER}.{name}" for name, _ in layer.named_parameters()}
    if unused & missing and WITHOUT in inspect.signature(type(model)).parameters:
        setattr(model, POOLER, None)
    return missing - unused
