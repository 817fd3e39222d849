"""Retrains the front and the baselines in full, with several seeds, on the untouched test part."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msplora_search.errors import InputError
from msplora_search.full.judgement import Confirmation, judge
from msplora_search.full.recipe import recipe_of
from msplora_search.full.selection import Pick
from msplora_search.full.training import CHECKPOINTS, identity, train_recipe
from msplora_search.results.records import Evaluation
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Point, Summary, summarise
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.metrics import Labels

FOLDER, RESULT = "confirm", "test.json"


@dataclass(frozen=True)
class OneTraining:
    """A full training that is done: now, or in an earlier call."""

    name: str
    seed: int
    metric: float
    seconds: float | None
    """None: it was trained in an earlier call."""
    done: int
    of: int


def confirm(
    results: StudyResults, output: Path, seeds: int, tell: Callable[[OneTraining], None] = lambda _: None
) -> Confirmation:
    """Train every front point and baseline with seeds 0, 1, ...; what is trained already is not trained again.

    `tell` hears of each training when it is done.
    Raises InputError where there is nothing to confirm, and as `train_recipe` does.
    """
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: must be at least 1")
    summary = summarise(results)
    points = candidates(summary)
    if not points:
        raise InputError(f"{output}: no trial was measured to the end, so there is nothing to confirm")
    found: list[tuple[Point, tuple[Evaluation, ...]]] = []
    for point in points:
        runs = []
        for seed in range(seeds):
            started = time.monotonic()
            stored = output / FOLDER / f"trial-{point.record.number}-seed-{seed}" / RESULT
            known = stored.is_file()
            run, labels = _run(_recipe(results, point, seed), stored)
            runs.append(run)
            seconds = None if known else time.monotonic() - started
            done, of = len(found) * seeds + len(runs), len(points) * seeds
            tell(OneTraining(_name(point), seed, run.metric, seconds, done, of))
        found.append((point, tuple(runs)))
    return judge(results, found, labels)


def candidates(summary: Summary) -> list[Point]:
    """The front, the paper's pyramid and the LoRA ladder, each once, by rising parameters."""
    baselines = ([summary.paper] if summary.paper else []) + summary.lora
    unique = {point.record.number: point for point in [*summary.front, *baselines]}
    return sorted(unique.values(), key=lambda p: (p.params, p.record.number))


def _run(recipe: Recipe, stored: Path) -> tuple[Evaluation, Labels]:
    """One full training, or its `stored` result: on the test part, and the classes there."""
    if not stored.is_file():
        trained = train_recipe(recipe, stored.parent, quiet=True)
        labels = trained.parts.test.own_labels.tolist()
        part = stored.with_suffix(".part")
        part.write_text(
            json.dumps({"recipe": identity(recipe), "test": trained.test.to_json(), "labels": labels}) + "\n"
        )
        part.rename(stored)
        shutil.rmtree(stored.parent / CHECKPOINTS)
    data = json.loads(stored.read_text())
    if data["recipe"] != identity(recipe):
        raise InputError(f"{stored}: is of other settings; delete {stored.parents[1]} to confirm anew")
    return Evaluation.from_json(data["test"]), np.array(data["labels"], dtype=np.int64)


def _recipe(results: StudyResults, point: Point, seed: int) -> Recipe:
    fields = recipe_of(results, Pick(point, "to be confirmed"))
    return Recipe.model_validate({**fields, "training": {**fields["training"], "seed": seed}})


def _name(point: Point) -> str:
    return point.record.baseline or f"trial {point.record.number}"
