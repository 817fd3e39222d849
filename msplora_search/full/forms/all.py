"""The further forms, as options ask for them."""

from __future__ import annotations

from msplora_search.full.forms.form import Form
from msplora_search.full.forms.gguf_adapter import GgufAdapter
from msplora_search.full.forms.onnx_model import OnnxModel


def wanted(gguf: bool = False, onnx: bool = False) -> tuple[Form, ...]:
    """Those that are asked for, in the order of the card."""
    made: list[Form] = []
    if gguf:
        made.append(GgufAdapter())
    if onnx:
        made.append(OnnxModel())
    return tuple(made)
