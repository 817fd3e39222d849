"""Full training of a recipe by transformers' Trainer: tied adapters, the best checkpoint by the task's metric."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, EvalPrediction, PrinterCallback
from transformers.trainer_utils import PredictionOutput

from msplora_search.adapters.anatomy import AnatomyError
from msplora_search.adapters.bank import AdapterBank, attach, bank_of
from msplora_search.adapters.turns import Turns, require_steps
from msplora_search.errors import InputError, placed
from msplora_search.full.arguments import metric_key, planned_steps, training_arguments
from msplora_search.full.identity import CHECKPOINTS, checkpoints, mark_run, require_same_run
from msplora_search.full.preference import require_trl
from msplora_search.full.pyramid_trainer import Listener, PyramidTrainer
from msplora_search.full.recording import FILE, Recorder
from msplora_search.results.records import Measure
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import Backbone, load_backbone
from msplora_search.tasks.full_parts import FullParts, prepare_full
from msplora_search.tasks.parts import Batch, Part
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task

RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Where torchrun and the launchers of MPI say which of several processes one is, as accelerate reads them."""


@dataclass(frozen=True)
class Trained:
    """A fully trained model, still adapted, with the best checkpoint's weights."""

    backbone: Backbone
    parts: FullParts
    test: Measure
    """On the test part, once, at the end."""
    finish: Callable[[], None]
    """To be called by every process when the results are written."""
    choosing: Measure | None = None
    """On the rows that are kept to choose a learning rate by, where one is to be chosen."""


class TrainedPart(nn.Module):
    """What the Trainer sees: batches in, loss and predictions out. Its state is only what trains."""

    def __init__(self, model: nn.Module, task: Task, diverged: Callable[[float], Exception] = ValueError) -> None:
        """`diverged` makes the error that is raised for a loss that is no finite number."""
        super().__init__()
        self.diverged = diverged
        self.model = model
        self.task = task
        self.trained = {name for name, p in self.named_parameters() if p.requires_grad}
        self.register_state_dict_post_hook(_drop_frozen)  # type: ignore[no-untyped-call]
        for name in ("activation_checkpointing_enable", "gradient_checkpointing_enable", "hf_device_map"):
            if hasattr(model, name):  # what the Trainer calls where it is asked for, and looks at
                setattr(self, name, getattr(model, name))
        self.register_load_state_dict_post_hook(_miss_only_trained)  # type: ignore[no-untyped-call]

    def forward(self, inputs: dict[str, Tensor], targets: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Take a `Batch`, with the places (batch,) of its examples in their part; give loss () and predictions.

        Predictions are under the name that the Trainer looks for, and made in evaluation only.
        """
        batch = self.task.referred(self.model, Batch(inputs, targets, labels.cpu().numpy()))
        found = {"loss": self.task.loss(self.model, batch)}
        if not bool(torch.isfinite(found["loss"])):  # the Trainer looks too, and logs the last finite one instead
            raise self.diverged(found["loss"].item())
        if not self.training:
            found["logits"] = self.task.kind.predict(self.model, batch).to(labels.device)
        return found


def _drop_frozen(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    assert isinstance(module, TrainedPart)
    for name in [name for name in state if name.removeprefix(prefix) not in module.trained]:
        del state[name]


def _miss_only_trained(module: nn.Module, keys: Any) -> None:
    assert isinstance(module, TrainedPart)
    keys.missing_keys[:] = [name for name in keys.missing_keys if name in module.trained]


class PartDataset(Dataset[dict[str, Any]]):
    """The examples of a part, to be collated together; `input_ids` are for samplers that go by length."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.lengths = part.lengths

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": range(self.lengths[row]), "part": self.part, "row": row}


GOING_ON = "mend that, and the same command goes on from the last whole checkpoint"
Adapt = Callable[[Backbone], None]
"""Puts adapters and head on, from which training goes out."""


def train_recipe(
    recipe: Recipe, output: Path, quiet: bool = False, choosing: bool = False, adapt: Adapt | None = None
) -> Trained:
    """Train `recipe`, going on from the last whole checkpoint in `output` where there is one.

    `quiet`: print no losses; what `training.trainer` reports to gets them all the same. `choosing`: see
    `tasks.full_parts.prepare_full`. `adapt`: what is trained on, in a folder that is thrown away; by default a
    fresh pyramid.
    Runs under `torchrun` and `accelerate launch` as it stands: `training.batch_size` is that of all
    processes together. Raises InputError, with the line of the recipe where it is on a field, for a recipe
    that does not fit its model or its data, for checkpoints of another recipe, and where training diverges.
    """
    with placed(recipe.origin):
        return _train(recipe, output, quiet, choosing, adapt)


def is_first_process() -> bool:
    """Whether this process is the one of a training that writes."""
    return next((rank for name in RANKS if (rank := os.environ.get(name))), "0") == "0"


def _train(recipe: Recipe, output: Path, quiet: bool, choosing: bool, adapt: Adapt | None) -> Trained:
    require_trl(recipe)
    require_same_run(recipe, output)
    processor, seed = load_processor(recipe), recipe.training.seed
    parts = prepare_full(recipe.task, recipe.classes, recipe.training.validation_share, processor, choosing)
    backbone = load_backbone(recipe, processor, recipe.classes, seed)
    (adapt or partial(_fresh, recipe))(backbone)
    arguments = training_arguments(recipe, output / CHECKPOINTS)
    training_part = whole_batches(parts.task.train, recipe.training.batch_size)
    listeners = _listeners(
        recipe, bank_of(backbone.model), output, planned_steps(recipe, arguments, len(training_part))
    )
    mark_run(recipe, output)

    def diverged(loss: float) -> InputError:
        anew = "" if adapt else f", and name another --output or delete {output / CHECKPOINTS}"
        return InputError(
            f"training diverged: the loss is {loss} at step {trainer.state.global_step + 1}; lower "
            f"training.learning_rate{anew}",
            field="training.learning_rate",
        )

    def batched(examples: list[dict[str, Any]]) -> dict[str, Any]:
        return collate(parts.task, examples)

    def metrics(found: EvalPrediction) -> dict[str, float]:
        return {metric_key(recipe): measured(parts.task, parts.task.validation, found).metric}

    callbacks: list[Any] = [EarlyStoppingCallback(stop)] if (stop := recipe.training.early_stopping) else []
    validation = PartDataset(parts.task.validation)
    if recipe.task.kind == "preference":
        from msplora_search.full.dpo_trainer import preference_trainer

        trainer: Any = preference_trainer(
            backbone.model, processor, parts.task, training_part, arguments, batched, validation, metrics,
            callbacks, listeners, diverged,
        )  # fmt: skip
    else:
        trainer = PyramidTrainer(
            model=TrainedPart(backbone.model, parts.task, diverged),
            args=arguments,
            data_collator=batched,
            train_dataset=PartDataset(training_part),
            eval_dataset=validation,
            compute_metrics=metrics,
            callbacks=callbacks,
            whole_gradients=listeners,
        )
    if quiet:
        trainer.remove_callback(PrinterCallback)
    with _writing(output / CHECKPOINTS, "mend that" if adapt else GOING_ON):
        trainer.train(resume_from_checkpoint=last_whole_checkpoint(output / CHECKPOINTS))
    trainer.compute_metrics = None  # it knows the validation part alone

    def reached(part: Part) -> Measure:
        return measured(parts.task, part, trainer.predict(PartDataset(part)))

    test = reached(parts.test)
    choosing_by = None if parts.choosing is None else reached(parts.choosing)
    trainer.let_go()
    backbone.model.eval()

    def finish() -> None:
        trainer.accelerator.wait_for_everyone()
        trainer.accelerator.end_training()

    return Trained(backbone, parts, test, finish, choosing_by)


def _listeners(recipe: Recipe, bank: AdapterBank, output: Path, steps: int) -> list[Listener]:
    """What is done with the gradients of a step: they are recorded first, and then taken away from some levels.

    Raises InputError where a level would have no step.
    """
    training, listeners = recipe.training, list[Listener]()
    levels = {key.level for key in bank.keys}
    if training.interference and len(levels) > 1 and is_first_process():
        listeners.append(Recorder(bank, training.interference, output / FILE))
    if turns := Turns.of(bank, training.optimization):
        require_steps(steps, len(levels), training.optimization, "training.optimization")
        listeners.append(turns.hold)
    return listeners


def whole_batches(part: Part, batch_size: int) -> Part:
    """`part` without the rows that fill no batch: so any number of processes takes the very same steps."""
    rows = len(part) // batch_size * batch_size
    return dataclasses.replace(part, rows=part.rows[:rows]) if rows else part


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; half-written ones are removed."""
    found = checkpoints(folder)
    while found:
        newest = found.pop()
        if _is_whole(newest):
            return str(newest)
        shutil.rmtree(newest, ignore_errors=True)
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())  # the Trainer writes it last
        with safe_open(checkpoint / "model.safetensors", "pt") as file:
            return bool(file.keys()) and (checkpoint / "optimizer.pt").is_file()
    except (OSError, ValueError, SafetensorError):
        return False


def _fresh(recipe: Recipe, backbone: Backbone) -> None:
    try:
        attach(
            backbone.model,
            recipe.built(),
            seed=recipe.training.seed,
            trainable=backbone.head,
            dropout=recipe.training.lora_dropout,
        )
    except AnatomyError as error:
        what = f"recipe {recipe.name}: its pyramid does not fit {recipe.model}: {error}"
        raise InputError(what, field="pyramid") from None


@contextmanager
def _writing(folder: Path, remedy: str) -> Iterator[None]:
    """Say in one line that a checkpoint could not be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or str(error).splitlines()[0]
    except RuntimeError as error:
        if "inline_container" not in str(error):  # how torch says that a file could not be written
            raise
        said = "no room, or not to be written"
    else:
        return
    raise InputError(f"{folder}: {said}; {remedy}")


def collate(task: Task, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Examples of a `PartDataset` as what `TrainedPart` takes."""
    part, rows = examples[0]["part"], np.array([example["row"] for example in examples])
    batch = task.collate(part, rows)
    return {"inputs": batch.inputs, "targets": batch.targets, "labels": torch.from_numpy(rows)}


def measured(task: Task, part: Part, found: EvalPrediction | PredictionOutput) -> Measure:
    """The task's metric of what the Trainer predicted for a part, in whatever order."""
    order = np.argsort(np.asarray(found.label_ids))
    return task.measure(part, np.asarray(found.predictions)[order])
