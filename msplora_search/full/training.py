"""Full training of a recipe by transformers' Trainer: tied adapters, the best checkpoint by the task's metric."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import EarlyStoppingCallback, EvalPrediction, PrinterCallback

from msplora_search.adapters.anatomy import AnatomyError
from msplora_search.adapters.bank import AdapterBank, attach, bank_of
from msplora_search.adapters.turns import Turns, require_steps
from msplora_search.errors import InputError, placed
from msplora_search.full.checkpoints import CHECKPOINTS, last_whole_checkpoint, mark_run, require_same_run
from msplora_search.full.trainers.arguments import metric_key, planned_steps, training_arguments
from msplora_search.full.trainers.preference import require_trl
from msplora_search.full.trainers.pyramid_trainer import Listener, PyramidTrainer
from msplora_search.full.trainers.recording import FILE, Recorder
from msplora_search.full.trainers.trained_part import PartDataset, TrainedPart, collate, measured
from msplora_search.results.records import Measure
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import Backbone, load_backbone
from msplora_search.tasks.full_parts import FullParts, prepare_full
from msplora_search.tasks.parts import Part
from msplora_search.tasks.processors import load_processor

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
        from msplora_search.full.trainers.dpo_trainer import preference_trainer

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
