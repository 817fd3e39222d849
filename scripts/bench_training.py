"""Trains MRPC in full twice in one run: `train`'s tied pyramid, and PEFT LoRA r=8 by the same Trainer settings.

    python scripts/bench_training.py FOLDER --epochs 5 --json training.json

FOLDER holds train.jsonl and validation.jsonl with the columns sentence1, sentence2, label. Both start from
all-MiniLM-L6-v2 with the same head, see the same rows in the same order, choose their best epoch by the same tenth
of the training rows, and are judged once on validation.jsonl.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from msplora_search.design.pyramid import Pyramid
from msplora_search.full.trainers.arguments import training_arguments
from msplora_search.full.trainers.trained_part import PartDataset, TrainedPart, collate, measured
from msplora_search.full.training import train_recipe, whole_batches
from msplora_search.results.noise import difference_se
from msplora_search.results.records import Measure
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.processors import load_processor

MODEL = "demo:minilm"


def main() -> None:
    """Train both, print and write what they reach."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    recipe = recipe_of(options)
    with tempfile.TemporaryDirectory() as folder:
        ours = train_recipe(recipe, Path(folder) / "ours")
        theirs, their_count = train_peft(recipe, Path(folder) / "theirs")
    our_count = Pyramid.geometric(8, 6).count({"query": (384, 384), "value": (384, 384)})
    gap, se = ours.test.metric - theirs.metric, difference_se(ours.test, theirs)
    figures = {
        "ours": {"accuracy": ours.test.metric, "se": ours.test.metric_se, "adapter_params": our_count},
        "peft_lora_r8": {"accuracy": theirs.metric, "se": theirs.metric_se, "adapter_params": their_count},
        "difference": gap,
        "difference_se": se,
        "test_examples": len(theirs.predictions),
    }
    print(f"tied pyramid 8/4/2: {ours.test.metric:.4f} ± {ours.test.metric_se:.4f}, {our_count:,} parameters")
    print(f"PEFT LoRA r=8:      {theirs.metric:.4f} ± {theirs.metric_se:.4f}, {their_count:,} parameters")
    print(f"difference {gap:+.4f} ± {se:.4f} on {len(theirs.predictions)} examples")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def recipe_of(options: argparse.Namespace) -> Recipe:
    """MRPC with the paper's pyramid."""
    source = {"path": str(options.folder / "train.jsonl"), "test": str(options.folder / "validation.jsonl")}
    return Recipe.model_validate(
        {
            "name": "mrpc",
            "model": MODEL,
            "task": {"dataset": source, "text": ["sentence1", "sentence2"]},
            "classes": ["0", "1"],
            "pyramid": Pyramid.geometric(8, layers=6).to_json(),
            "training": {
                "epochs": options.epochs,
                "learning_rate": options.learning_rate,
                "seed": options.seed,
                "trainer": {"bf16": True},
            },
        }
    )


def train_peft(recipe: Recipe, folder: Path) -> tuple[Measure, int]:
    """PEFT LoRA r=8 on query and value, by the very Trainer arguments of the recipe; its adapter parameters."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer

    processor = load_processor(recipe)
    parts = prepare_full(recipe.task, recipe.classes, recipe.training.validation_share, processor)
    base = load_backbone(recipe, processor, recipe.classes, recipe.training.seed).model
    torch.manual_seed(recipe.training.seed)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=["classifier"])
    model: Any = get_peft_model(base, config)
    count = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    assert isinstance(model, nn.Module)
    trainer = Trainer(
        model=TrainedPart(model, parts.task),
        args=training_arguments(recipe, folder),
        data_collator=lambda examples: collate(parts.task, examples),
        train_dataset=PartDataset(whole_batches(parts.task.train, recipe.training.batch_size)),
        eval_dataset=PartDataset(parts.task.validation),
        compute_metrics=lambda found: {
            recipe.task.metric: measured(parts.task, parts.task.validation, found).metric
        },
    )
    trainer.train()
    trainer.compute_metrics = None
    return measured(parts.task, parts.test, trainer.predict(PartDataset(parts.test))), count


if __name__ == "__main__":
    main()
