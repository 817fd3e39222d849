"""Delivers a point of a front on the study's model, by the code that delivers trained models, and measures it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from msplora_search.compression.choosing import Choice, Judged
from msplora_search.compression.compressing import Compression, Point, Say
from msplora_search.compression.compressing import compress as compress_lora
from msplora_search.compression.family import families
from msplora_search.compression.ground import Ground
from msplora_search.compression.writing import put_on
from msplora_search.errors import InputError
from msplora_search.files import beside
from msplora_search.full.delivered import Delivered
from msplora_search.full.delivery import Origin, deliver
from msplora_search.full.training import Trained, train_recipe
from msplora_search.results.noise import difference_se
from msplora_search.results.records import Measure
from msplora_search.tasks.backbone import Backbone
from msplora_search.text import several

NOTHING_LEFT = "the folder is as it was"


@dataclass(frozen=True)
class Wish:
    """What was asked for beside the choice of a point."""

    examples: int
    """That updates are weighted by; 0: all input directions count alike."""
    ranks: tuple[int, ...] | None = None
    epochs: float | None = None
    """That the pyramid is trained on; None: as it was fitted."""
    merged: bool = False

    def require(self) -> None:
        """Raises InputError naming the option."""
        if not 0 <= self.examples <= 1_000_000:
            raise InputError(f"--examples {self.examples}: from 0, for no weights, to 1,000,000 is right")
        if self.epochs is not None and not 0 < self.epochs <= 10_000:
            raise InputError(f"--train {self.epochs:g}: above 0 is right, such as 0.1")


@dataclass(frozen=True)
class Outcome:
    """What was delivered, beside the LoRA: on the test part, and of the choice on validation rows."""

    chosen: Point
    judged: Judged
    done: Delivered
    logits_error: float
    """Norm of the difference of the logits of LoRA and pyramid over that of the LoRA's; the first test rows."""
    agreement: float | None
    """Share of test rows for which both predict the same; None where predictions are no classes."""
    lora: Measure
    pyramid: Measure
    epochs: float | None = None
    trained_to: float | None = None
    """The metric on the same validation rows after the training."""

    def to_json(self) -> dict[str, Any]:
        """A part of `compress.json`."""
        points = [[p.params, m.metric] for p, m in self.judged.points.items()]
        trained = {"epochs": self.epochs, "metric": self.trained_to} if self.epochs is not None else None
        return {
            "metric": self.judged.metric,
            "validation": {"rows": self.judged.rows, "lora": self.judged.lora.metric, "front": points},
            "test": {
                "rows": len(self.lora.predictions),
                "lora": self.lora.metric,
                "pyramid": self.pyramid.metric,
                "difference_se": difference_se(self.lora, self.pyramid),
                "agreement": self.agreement,
            },
            "logits_error": self.logits_error,
            "logits_apart": self.done.apart,
            "trained": trained,
        }


def compress_on(ground: Ground, choice: Choice, wish: Wish, folder: Path, say: Say) -> tuple[Compression, Outcome]:
    """Fit, choose, train where that is asked for, prove and write `model/` into `folder`.

    Raises InputError as all of these do.
    """
    ground.load()  # what does not fit is found before the work
    own, original = families(ground.lora), ground.original()
    examples = min(wish.examples, len(ground.parts.task.train))
    if examples:
        say(f"collecting activations of {several(examples, 'training example')} ...")
        own = ground.weighted(original, own, examples)
    found = compress_lora(ground.lora, wish.ranks, own, examples, say)
    judged = ground.judged(original, found, say)
    chosen = choice.picked(found, judged)
    say(f"measuring the LoRA on {several(len(ground.parts.test), 'test row')} ...")
    logits, measured = ground.logits(original), ground.measure(original, ground.parts.test)
    del original
    trained, recipe = _made(ground, found, chosen, wish, folder, say)
    say("comparing logits of LoRA, pyramid, PEFT and merged model ...")
    near = relative(logits, ground.logits(trained.backbone.model))
    after = None
    if wish.epochs is not None:
        after = ground.measure(trained.backbone.model, ground.parts.task.validation, judged.rows).metric
    origin = Origin(NOTHING_LEFT, _told(found, chosen, wish), wish.epochs is not None)
    done = deliver(recipe, trained, folder, wish.merged, origin)
    trained.finish()
    same = None
    if ground.recipe.classes:
        same = float(np.mean(measured.predictions == trained.test.predictions))
    return found, Outcome(chosen, judged, done, near, same, measured, trained.test, wish.epochs, after)


def _made(
    ground: Ground, found: Compression, chosen: Point, wish: Wish, folder: Path, say: Say
) -> tuple[Trained, Any]:
    """The adapted model, with what `deliver` takes beside it."""

    def adapt(backbone: Backbone) -> None:
        put_on(backbone.model, found, chosen, backbone.head)

    name = f"{ground.recipe.name[:80]}-compressed"
    if wish.epochs is not None:
        say(f"training {chosen.ranks} for {wish.epochs:g} epochs ...")
        recipe = ground.recipe_of(chosen, name, epochs=wish.epochs)
        with beside(folder / "training") as checkpoints:
            return train_recipe(recipe, checkpoints, quiet=True, adapt=adapt), recipe
    say(f"measuring {chosen.ranks} on {several(len(ground.parts.test), 'test row')} ...")
    backbone = ground.load()
    adapt(backbone)
    backbone.model.eval()
    test = ground.measure(backbone.model, ground.parts.test)
    return Trained(backbone, ground.parts, test, lambda: None), ground.recipe_of(chosen, name)


def relative(before: Tensor, after: Tensor) -> float:
    """Norm of the difference over the norm of `before`."""
    return float((before - after).double().norm() / before.double().norm().clamp_min(1e-300))


def _told(found: Compression, chosen: Point, wish: Wish) -> str:
    """For the model card."""
    how = f"weighted by the activations of {found.examples:,} examples" if found.examples else "unweighted"
    then = f", then trained for {wish.epochs:g} epochs" if wish.epochs is not None else ""
    return (
        f"Compressed from a LoRA of rank {found.lora.rank} with {found.lora.params:,} parameters: the relative "
        f"error of the updates, {how}, was {chosen.error:.2%}{then}."
    )
