"""The arguments of transformers' Trainer that a recipe amounts to."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import torch
from transformers import TrainingArguments

from msplora_search.errors import InputError, suggest
from msplora_search.full.trainers.preference import arguments_class
from msplora_search.settings.kinds import OF_SEVERAL, OF_WORDS
from msplora_search.settings.recipe import Recipe

OURS = {
    "output_dir", "num_train_epochs", "per_device_train_batch_size", "learning_rate", "weight_decay",
    "warmup_steps", "seed", "data_seed", "remove_unused_columns", "label_names", "metric_for_best_model",
    "greater_is_better",
}  # fmt: skip
"""TrainingArguments that follow from other fields of a recipe."""
SHARDING = {"fsdp", "fsdp_config", "deepspeed"}
"""TrainingArguments by which a parameter and its gradient lie in parts on several devices."""


def training_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """The Trainer's arguments. Raises InputError for a field of `training.trainer` that is none of them."""
    training, further = recipe.training, dict(recipe.training.trainer)
    known = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}
    for name in further:
        if name not in known:
            raise InputError(
                f"training.trainer.{name} is no field of TrainingArguments; {suggest(name, known)}",
                field=f"training.trainer.{name}",
            )
        if name in OURS:
            raise InputError(
                f"training.trainer.{name} follows from other fields of the recipe; leave it out",
                field=f"training.trainer.{name}",
            )
    _require_plain_gradients(recipe)
    processes = int(os.environ.get("WORLD_SIZE", "1")) * int(further.get("gradient_accumulation_steps", 1))
    if training.batch_size % processes:
        raise InputError(
            f"training.batch_size is {training.batch_size}; it must be a multiple of the {processes} batches "
            "that processes and accumulation make of it",
            field="training.batch_size",
        )
    if recipe.task.has_negatives:
        _require_whole_batches(training.batch_size, processes)
    chosen = {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "report_to": "none",
        "logging_steps": 10,
        "disable_tqdm": True,
        "log_level": "error",
        "ddp_find_unused_parameters": False,
        "per_device_eval_batch_size": 8 if recipe.task.kind in (*OF_WORDS, *OF_SEVERAL) else 64,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "bf16": recipe.backbone.dtype == "bf16",  # or the fp32 head would meet bf16 numbers
        **further,
    }
    made_of, given = arguments_class(recipe)
    try:
        return made_of(
            output_dir=str(folder),
            num_train_epochs=training.epochs,
            per_device_train_batch_size=training.batch_size // processes,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            warmup_steps=training.warmup_ratio,
            seed=training.seed,
            data_seed=training.seed,
            remove_unused_columns=False,
            label_names=["labels"],
            metric_for_best_model=metric_key(recipe),
            greater_is_better=True,
            **{**given, **chosen},
        )
    except (ValueError, TypeError, ImportError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"training.trainer: {said}", field="training.trainer") from None


def planned_steps(recipe: Recipe, arguments: TrainingArguments, rows: int) -> int:
    """Steps of a training on so many rows, which fill its batches."""
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    return math.ceil(recipe.training.epochs * max(1, rows // recipe.training.batch_size))


def _require_whole_batches(batch_size: int, processes: int) -> None:
    """Raise InputError where a batch, whose examples are one another's negatives, would come in pieces."""
    if batch_size < 2:
        raise InputError(
            f"training.batch_size is {batch_size}; the examples of a batch are one another's negatives, so it "
            "must be at least 2",
            field="training.batch_size",
        )
    if processes > 1:
        raise InputError(
            f"training.batch_size: the examples of a batch are one another's negatives, and {processes} processes "
            "or accumulated batches would each see a part; train in one process without "
            "gradient_accumulation_steps (to save memory, set backbone.gradient_checkpointing to true)",
            field="training.batch_size",
        )


def _require_plain_gradients(recipe: Recipe) -> None:
    """Raise InputError where levels take turns, or are recorded, and the gradients lie elsewhere."""
    training = recipe.training
    if training.optimization == "joint" and not training.interference:
        return
    said = "interference" if training.optimization == "joint" else f"optimization {training.optimization}"
    for name, value in training.trainer.items():
        if (name in SHARDING and value) or (name == "optim" and "layerwise" in str(value)):
            raise InputError(
                f"training.trainer.{name} keeps gradients where {said} cannot see them; leave one of them out",
                field=f"training.trainer.{name}",
            )


def metric_key(recipe: Recipe) -> str:
    """The metric's name in the Trainer's logs; its own `loss` is another thing."""
    return recipe.task.metric_label.replace(" ", "_")
