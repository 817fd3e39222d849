"""Pareto search over MSPLoRA rank pyramids and depth groups (arXiv 2503.21838)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid

if TYPE_CHECKING:
    from msplora_search.adapters.bank import attach, detach
    from msplora_search.adapters.peft_format import to_peft
    from msplora_search.adapters.pyramid_file import load_pyramid, save_pyramid
    from msplora_search.results.front_file import load_front
    from msplora_search.search.study import run_study

__all__ = [
    "DepthGroup",
    "Pyramid",
    "attach",
    "detach",
    "load_front",
    "load_pyramid",
    "run_study",
    "save_pyramid",
    "to_peft",
]

_LATE = {  # these import torch or Optuna, which takes seconds
    "attach": "msplora_search.adapters.bank",
    "detach": "msplora_search.adapters.bank",
    "to_peft": "msplora_search.adapters.peft_format",
    "load_pyramid": "msplora_search.adapters.pyramid_file",
    "save_pyramid": "msplora_search.adapters.pyramid_file",
    "load_front": "msplora_search.results.front_file",
    "run_study": "msplora_search.search.study",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
