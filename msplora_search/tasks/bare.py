"""A pretrained model without any head: what of it is not used, and so neither trained nor counted."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

POOLER, WITHOUT = "pooler", "add_pooling_layer"
"""What transformers calls a layer on the first token that few checkpoints have, and how to leave it out."""


def bare_arguments(config: Any) -> dict[str, Any]:
    """What AutoModel is given so that there is no such layer; nothing where its class cannot leave it out."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    known: Any = MODEL_MAPPING.get(type(config), ())
    classes = known if isinstance(known, tuple) else (known,)
    can = bool(classes) and all(WITHOUT in inspect.signature(of).parameters for of in classes)
    return {WITHOUT: False} if can else {}


def unused_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters of such a layer, where there is one all the same."""
    layer = getattr(model, POOLER, None)
    if not isinstance(layer, nn.Module):
        return set()
    return {f"{POOLER}.{name}" for name, _ in layer.named_parameters()}
