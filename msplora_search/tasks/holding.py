"""How a frozen base is held: where its weights go, in what format, and without dropout."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from msplora_search.errors import InputError
from msplora_search.settings.models import BackboneSettings


def placement(held: BackboneSettings) -> dict[str, Any]:
    """Where and in what format the weights go. Raises InputError for what this machine cannot do."""
    chosen: dict[str, Any] = {"device_map": held.device_map} if held.device_map else {}
    if held.quantization == "none":
        return chosen
    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        raise InputError(
            f"backbone.quantization is {held.quantization}; it needs a CUDA device and "
            "`pip install bitsandbytes`, or set it to none",
            "backbone.quantization",
        )
    from transformers import BitsAndBytesConfig

    four = held.quantization == "4bit"
    chosen["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=four,
        load_in_8bit=not four,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return chosen


def without_dropout(config: Any) -> None:
    """Set every rate of dropout in a model's configuration to zero."""
    for name, value in list(vars(config).items()):
        if isinstance(value, float) and ("dropout" in name or name.endswith("_pdrop")):
            setattr(config, name, 0.0)
