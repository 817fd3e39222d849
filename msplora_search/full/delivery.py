"""What full training leaves: the tied pyramid, a stock PEFT adapter, the merged model, a model card.

Nothing is called delivered before the three forms agree on real batches.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from msplora_search.adapters.bank import bank_of, merge
from msplora_search.adapters.peft_format import to_peft
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.errors import InputError
from msplora_search.files import install
from msplora_search.full.training import Trained, identity, require_same_run, train_recipe
from msplora_search.results.noise import interval
from msplora_search.results.records import Evaluation
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone, load_processor, model_location
from msplora_search.tasks.labels import classes_told, metric_of, positive_of
from msplora_search.tasks.parts import Part
from msplora_search.tasks.task import Task
from msplora_search.text import markdown

MOST_APART = {"fp32": 1e-5, "bf16": 5e-2}
"""By format of the base, for logits up to 1, and in proportion for larger ones."""
CHECKED_BATCHES, CHECKED_ROWS = 4, 16
MOST_NUMBERS = 20_000_000
"""No more batches are checked after so many numbers: scores of a whole vocabulary are large."""
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Delivered:
    """What was written, and how it did."""

    folder: Path
    metric: float
    interval: tuple[float, float]
    """95% over the test examples."""
    trained_params: int
    unrolled_params: int
    apart: float
    """Largest difference of logits between tied, PEFT and merged model."""


def train_and_deliver(recipe: Recipe, output: Path, with_merged: bool = False) -> Delivered | None:
    """Train `recipe` and deliver it into `output`; None in processes that only help to train.

    A recipe that was delivered into `output` before is not trained again.
    Raises InputError, see `train_recipe` and `deliver`.
    """
    if with_merged and recipe.backbone.quantization != "none":
        raise InputError(
            f"--merge: {recipe.backbone.quantization} weights cannot be merged; leave it out, or set "
            "backbone.quantization to none"
        )
    require_same_run(recipe, output)
    done = read_delivered(recipe, output)
    if done is not None and (not with_merged or (output / "model" / "merged").is_dir()):
        return done
    trained = train_recipe(recipe, output)
    try:
        return deliver(recipe, trained, output, with_merged) if trained.writes else None
    finally:
        trained.finish()


def deliver(recipe: Recipe, trained: Trained, output: Path, with_merged: bool = False) -> Delivered:
    """Write `model/` of `output`; afterwards the model in memory is merged and no longer adapted.

    Raises InputError where it cannot be written, or where the three forms of the model disagree.
    """
    model, task, part = trained.backbone.model, trained.parts.task, trained.parts.test
    tied = _logits(recipe, model, task, part)
    bank, peft = bank_of(model), to_peft(model)
    location = model_location(recipe.model)
    facts: dict[str, Any] = {}

    def fill(folder: Path) -> None:
        save_pyramid(model, folder / "pyramid", recipe.model)
        peft.save(folder / "peft", location, task_type=task.kind.peft_type)
        forms = {"PEFT": _logits(recipe, _reload_peft(recipe, trained, folder / "peft"), task, part)}
        if recipe.backbone.quantization == "none":
            forms["merged"] = _logits(recipe, merge(model), task, part)
        facts["apart"] = _require_equal(tied, forms, MOST_APART[recipe.backbone.dtype])
        if with_merged:
            model.save_pretrained(folder / "merged")  # type: ignore[operator]
            load_processor(recipe).save_pretrained(folder / "merged")
        facts["done"] = _facts(recipe, trained.test, bank.count(), peft.adapter_params, facts["apart"], output)
        told = {"recipe": identity(recipe), **_plain(facts["done"])}
        (folder / "results.json").write_text(json.dumps(told, indent=2) + "\n")
        (folder / "README.md").write_text(model_card(recipe, facts["done"], task.class_counts), encoding="utf-8")

    try:
        install(output / "model", fill, last="results.json")
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{output / 'model'}: cannot be written: {said}; checkpoints are kept") from None
    done = facts["done"]
    assert isinstance(done, Delivered)
    return done


def model_card(recipe: Recipe, done: Delivered, class_counts: Sequence[int]) -> str:
    """The README of a delivered model, as hubs read it; `class_counts`: examples of each class in the data."""
    low, high = done.interval
    chosen = recipe.chosen or {}
    origin = (
        f"Trial {chosen['trial']} of the study {chosen['study']}: {chosen['why']}. In the search, after a short "
        f"proxy, it had {recipe.task.metric_label} {chosen['metric']:.4f} ± {chosen['metric_se']:.4f}."
        if {"trial", "study", "why", "metric", "metric_se"} <= chosen.keys()
        else "Not taken from a search."
    )
    positive = positive_of(recipe.task.metric, recipe.task.positive, recipe.classes)
    classes = f"; {markdown(classes_told(recipe.classes, class_counts, positive))}" if recipe.classes else ""
    return f"""---
base_model: {recipe.model}
library_name: peft
tags: [lora, msplora, msplora-search]
---

# {recipe.name}

MSPLoRA pyramid {recipe.built()} on `{recipe.model}`, targets {", ".join(recipe.built().targets)}.

- Data: `{recipe.task.dataset.path}`, {recipe.task.kind}{classes}.
- Test part: {recipe.task.metric_label} {done.metric:.4f}, 95% interval {low:.4f} to {high:.4f} over its examples.
- Trained adapter parameters: {done.trained_params:,} (shared ones once); as stock LoRA, unrolled:
  {done.unrolled_params:,}.
- {origin}

`peft/` is a stock LoRA adapter: `PeftModel.from_pretrained(base, "peft")`. `pyramid/` holds the shared form:
`msplora_search.load_pyramid(base, "pyramid")`. Their logits and those of the merged model differ by at most
{done.apart:.1e} on real batches in {recipe.backbone.dtype}. Training the PEFT form on would untie what the pyramid
shares.
"""


def read_delivered(recipe: Recipe, output: Path) -> Delivered | None:
    """What an earlier call delivered into `output`; None where nothing was.

    Raises InputError where it was another recipe's model.
    """
    file = output / "model" / "results.json"
    if not file.is_file():
        return None
    data = json.loads(file.read_text())
    if data.pop("recipe", None) != identity(recipe):
        raise InputError(
            f"--output {output}: holds the model of another recipe; name another folder, or delete it"
        )
    return Delivered(**{**data, "folder": output / "model", "interval": tuple(data["interval"])})


def _plain(done: Delivered) -> dict[str, Any]:
    return {name: value for name, value in vars(done).items() if name != "folder"}


def _facts(recipe: Recipe, test: Evaluation, trained: int, unrolled: int, apart: float, output: Path) -> Delivered:
    found = interval(test.metric, Z95 * test.metric_se, metric_of(recipe.task, recipe.classes).bounds)
    return Delivered(output / "model", test.metric, found, trained, unrolled, apart)


@torch.no_grad()
def _logits(recipe: Recipe, model: nn.Module, task: Task, part: Part) -> Tensor:
    """Outputs for the first test examples, (examples or asked tokens, classes or words), fp32."""
    model.eval()
    device = next(model.parameters()).device
    found, numbers = [], 0
    for start in range(0, min(len(part), CHECKED_BATCHES * CHECKED_ROWS), CHECKED_ROWS):
        batch = task.collate(part, np.arange(start, min(start + CHECKED_ROWS, len(part)))).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.backbone.dtype == "bf16"):
            found.append(task.kind.outputs(model, batch).float().cpu())
        numbers += found[-1].numel()
        if numbers > MOST_NUMBERS:
            break
    return torch.cat(found)


def _reload_peft(recipe: Recipe, trained: Trained, folder: Path) -> nn.Module:
    """The adapter as a stranger loads it: a fresh base model, and PEFT."""
    from peft import PeftModel

    base = load_backbone(recipe, load_processor(recipe), len(recipe.classes)).model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a name of its older versions
        loaded = PeftModel.from_pretrained(base, str(folder))
    assert isinstance(loaded, nn.Module)
    if recipe.backbone.device_map is not None or recipe.backbone.quantization != "none":
        return loaded  # it has been placed
    return loaded.to(next(trained.backbone.model.parameters()).device)


def _require_equal(tied: Tensor, forms: dict[str, Tensor], most_apart: float) -> float:
    apart = {name: float((tied - other).abs().max()) for name, other in forms.items()}
    worst = max(apart, key=lambda name: apart[name])
    most_apart *= max(1.0, float(tied.abs().max()))
    if not apart[worst] <= most_apart:
        raise InputError(
            f"the {worst} model differs from the trained one by {apart[worst]:.1e} in its logits (at most "
            f"{most_apart:.0e} is right); nothing was written, checkpoints are kept"
        )
    return apart[worst]
