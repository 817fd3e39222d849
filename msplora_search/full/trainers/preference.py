"""Full training on preferences by trl, an optional extra: what is asked of it, and where it is missing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from transformers import TrainingArguments

from msplora_search.errors import InputError
from msplora_search.settings.kinds import Kind
from msplora_search.settings.recipe import Recipe

INSTALL = "pip install 'msplora-search[preference]'"


def lacks_trl(kind: Kind) -> bool:
    """Whether full training of a kind of task needs trl, and it is not installed."""
    return kind == "preference" and find_spec("trl") is None


def require_trl(recipe: Recipe) -> None:
    """Raise InputError where trl is needed and missing, or cannot do what is asked for."""
    if lacks_trl(recipe.task.kind):
        raise InputError(f"task.kind is preference, which trl trains in full; it needs `{INSTALL}`", "task.kind")
    kept = recipe.backbone.quantization
    if recipe.task.kind == "preference" and kept != "none":
        raise InputError(
            f"backbone.quantization is {kept}, which transformers trains by adapters of PEFT alone, not by tied "
            "ones; set it to none, or backbone.dtype to bf16",
            "backbone.quantization",
        )


def arguments_class(recipe: Recipe) -> tuple[type[TrainingArguments], dict[str, Any]]:
    """The class of the Trainer's arguments, and what is said of the task in them."""
    if recipe.task.kind != "preference" or lacks_trl(recipe.task.kind):
        return TrainingArguments, {}
    from trl.trainer.dpo_config import DPOConfig

    return DPOConfig, {
        "beta": recipe.task.beta,
        "loss_type": ["sigmoid"],
        "precompute_ref_log_probs": True,
        "max_length": None,  # the examples are cut already
        "gradient_checkpointing": None,  # trl asks for it unless told
    }
