"""Whether the forms of a delivered model agree: logits on real batches, and PEFT as a stranger loads it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.parts import Part
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task

if TYPE_CHECKING:
    from peft import PeftConfig

KEPT = "checkpoints are kept"
"""What is left where a trained model cannot be delivered."""
MOST_APART = {"fp32": 1e-5, "bf16": 5e-2}
"""By format of the base, for logits up to 1, and in proportion for larger ones."""
CHECKED_BATCHES, CHECKED_ROWS = 4, 16
MOST_NUMBERS = 20_000_000
"""No more batches are checked after so many numbers: scores of a whole vocabulary are large."""


@torch.no_grad()
def checked_logits(recipe: Recipe, model: nn.Module, task: Task, part: Part) -> Tensor:
    """Outputs for the first test examples, (examples or asked tokens, classes or words), fp32."""
    model.eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    found, numbers = [], 0
    for start in range(0, min(len(part), CHECKED_BATCHES * CHECKED_ROWS), CHECKED_ROWS):
        batch = task.collate(part, np.arange(start, min(start + CHECKED_ROWS, len(part)))).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.backbone.dtype == "bf16"):
            found.append(task.kind.outputs(model, batch).float().cpu())
        numbers += found[-1].numel()
        if numbers > MOST_NUMBERS:
            break
    return torch.cat(found)


def reload_peft(recipe: Recipe, folder: Path, device: torch.device, config: PeftConfig | None = None) -> nn.Module:
    """The adapter as a stranger loads it: a fresh base model, and PEFT. `config`: instead of the folder's own."""
    base = load_backbone(recipe, load_processor(recipe), recipe.classes).model
    loaded = load_peft(base, folder, config)
    if recipe.backbone.device_map is not None or recipe.backbone.quantization != "none":
        return loaded  # it has been placed
    return loaded.to(device)


def load_peft(base: nn.Module, folder: Path, config: PeftConfig | None = None) -> nn.Module:
    """`base` with the adapter in `folder`, by PEFT."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a name of its older versions
        loaded = PeftModel.from_pretrained(base, str(folder), config=config)
    assert isinstance(loaded, nn.Module)
    return loaded


def require_equal(tied: Tensor, forms: dict[str, Tensor], most_apart: float, left: str = KEPT) -> float:
    """The largest difference. Raises InputError where it is too large, or where there are no finite numbers.

    `left`: what is said to be left then.
    """
    for name, logits in {"trained": tied, **forms}.items():
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"the {name} model gives logits that are no finite numbers; lower training.learning_rate; nothing "
                f"was written, {left}",
                field="training.learning_rate",
            )
    apart = {name: float((tied - other).abs().max()) for name, other in forms.items()}
    worst = max(apart, key=lambda name: apart[name])
    most_apart *= max(1.0, float(tied.abs().max()))
    if apart[worst] > most_apart:
        raise InputError(
            f"the {worst} model differs from the trained one by {apart[worst]:.1e} in its logits (at most "
            f"{most_apart:.0e} is right); nothing was written, {left}"
        )
    return apart[worst]
