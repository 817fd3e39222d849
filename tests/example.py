"""The results of a made-up study with every state of a trial; what is written of it is kept in `golden/`."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.sampling import random_choice
from msplora_search.design.space import SearchSpace
from msplora_search.full.confirm import candidates
from msplora_search.full.judgement import Confirmation, judge_found
from msplora_search.full.recipe import recipe_of
from msplora_search.full.selection import pick
from msplora_search.reporting.confirmation import confirmation_lines, confirmation_markdown
from msplora_search.reporting.report import report_markdown, trials_csv
from msplora_search.results.records import Evaluation, State, TrialRecord
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import summarise
from msplora_search.settings import load_study
from msplora_search.settings.document import dump
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES, STEPS, LAYERS, WIDTH = 400, 120, 6, 384
QV = ("query", "value")
LABELS = (np.arange(EXAMPLES) % 2).astype(np.int64)
JUDGE = Judge(metric("accuracy"), LABELS)
SHAPES = {"query": (WIDTH, WIDTH), "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH)}


def evaluation(rung: float, wrong: int, shift: int = 0) -> Evaluation:
    """A measurement in which `wrong` neighbouring examples from `shift` on are wrong."""
    flipped = np.isin(np.arange(EXAMPLES), (np.arange(wrong) + shift) % EXAMPLES)
    predictions = np.where(flipped, 1 - LABELS, LABELS)
    measured = JUDGE.measure(predictions)
    return Evaluation(**vars(measured), rung=rung, step=round(rung * STEPS), loss=0.3 + wrong / EXAMPLES)


def record(number: int, pyramid: Pyramid | None, wrong: int, **fields: Any) -> TrialRecord:
    """A trial measured at 0.5 and 1.0 unless `fields` say otherwise."""
    params = pyramid.count(SHAPES) if pyramid else 0
    known: dict[str, Any] = {
        "number": number,
        "state": State.COMPLETE,
        "baseline": None,
        "pyramid": pyramid,
        "learning_rate": 2e-3,
        "adapter_params": params,
        "trainable_params": params + 770,
        "curve": (evaluation(0.5, wrong + 20, number), evaluation(1.0, wrong, number)),
        "steps": STEPS,
        "planned_steps": STEPS,
        "seconds": 20.0 + number,
    }
    return TrialRecord(**{**known, **fields})


def split(*ranks: int, at: tuple[int, ...] = (0, 6)) -> Pyramid:
    return Pyramid.from_split((ranks[0], ranks[1], ranks[2]), at, QV)


def records() -> tuple[TrialRecord, ...]:
    uneven = Pyramid(2, [DepthGroup(0, 2, 1, 0), DepthGroup(2, 6, 2, 1)], QV)
    nothing: dict[str, Any] = {"curve": (), "steps": 0, "planned_steps": 0, "seconds": 0.0}
    return (
        record(0, Pyramid.geometric(8, LAYERS), 66, baseline="paper"),
        record(1, Pyramid.lora(1, LAYERS, QV), 80, baseline="lora-1"),
        record(2, Pyramid.lora(2, LAYERS, QV), 70, baseline="lora-2"),
        record(3, split(1, 0, 0), 76),
        record(4, uneven, 60),
        record(
            5, split(4, 4, 2), 0, state=State.PRUNED, curve=(evaluation(0.5, 120),), steps=60,
            reason="0.0500 below the envelope at rung 0.5, margin 0.0100",
        ),
        record(6, uneven, 60, **{**nothing, "curve": (evaluation(1.0, 60, 4),)}, state=State.DUPLICATE,
               reason="trial 4, complete"),
        record(7, split(0, 4, 0, at=(0, 3, 6)), 0, **{**nothing, "seconds": 3.0, "planned_steps": STEPS},
               state=State.FAILED, reason="DivergedError: the training loss is nan by step 60 of 120"),
        record(8, None, 0, **nothing, state=State.REFUSED, reason="every rank is 0: adapts nothing"),
        record(9, split(2, 1, 0), 76, learning_rate=4e-3),
    )  # fmt: skip


def results(trials: tuple[TrialRecord, ...] | None = None) -> StudyResults:
    settings = load_study("quickstart")
    return StudyResults(
        settings=settings,
        records=records() if trials is None else trials,
        validation=JUDGE,
        facts={
            "classes": ["negative", "positive"],
            "train_examples": 1000,
            "validation_examples": EXAMPLES,
            "note": "",
            "layers": LAYERS,
            "configurations": 716,
            "pyramids": 716,
            "baselines": 3,
            "proxy_steps": STEPS,
            "head_params": 770,
            "lora_units": {"query value": Pyramid.lora(1, LAYERS, QV).count(SHAPES)},
            "precision": "float32",
            "chance_is": "always the most frequent class",
            "reference_point": {"metric": 0.5, "log10_adapter_params": math.log10(49_152)},
            "versions": {"torch": "2.0", "transformers": "5.0", "optuna": "5.0", "msplora-search": "0.1.0"},
        },
    )


def measured_by(name: Literal["loss", "pearson"], trials: tuple[TrialRecord, ...] | None = None) -> StudyResults:
    """The same trials by another metric: loss, which is below 0 and has no bound there, or a correlation."""
    judge = Judge(metric(name), 4 + np.arange(EXAMPLES) % 3 if name == "loss" else LABELS.astype(np.float64))

    def measured(of: Evaluation) -> Evaluation:
        wrong = of.predictions != LABELS[: len(of.predictions)]
        told = (
            judge.truth * (0.5 + 2.0 * wrong)
            if name == "loss"
            else of.predictions + 0.1 * np.cos(np.arange(EXAMPLES))
        )
        return replace(of, **vars(judge.measure(told)))

    found = results(trials)
    return replace(
        found,
        settings=found.settings.model_copy(
            update={"task": found.settings.task.model_copy(update={"metric": name})}
        ),
        records=tuple(replace(of, curve=tuple(map(measured, of.curve))) for of in found.records),
        validation=judge,
        facts={
            **found.facts,
            "reference_point": {
                **found.facts["reference_point"],
                "metric": judge.metric.bounds[0] if name == "pearson" else -3.0,
            },
        },
    )


def space() -> SearchSpace:
    """That of the quickstart."""
    return load_study("quickstart").space.for_depth(LAYERS, 2e-3, (QV,))


def decided(wrong: Callable[[Pyramid], float], trials: int = 36, noise: float = 2.0) -> StudyResults:
    """A study of different pyramids drawn from its space, each with so many mistakes, give or take."""
    draw, found = random.Random(1), dict[Pyramid, int]()
    while len(found) < trials:
        with suppress(ValueError):  # every rank is 0
            pyramid = random_choice(space(), draw).pyramid()
            found.setdefault(pyramid, round(wrong(pyramid) + draw.gauss(0, noise)))
    return results(tuple(record(i, pyramid, mistakes) for i, (pyramid, mistakes) in enumerate(found.items())))


@cache
def confirmation() -> Confirmation:
    """Two seeds of full training for the front and the baselines of the example."""
    found = [
        (point, (evaluation(1.0, 64 - 4 * i, 7 * i), evaluation(1.0, 61 - 3 * i, 7 * i + 1)))
        for i, point in enumerate(candidates(summarise(results())))
    ]
    return judge_found(results(), found, JUDGE)


@cache
def golden_texts() -> dict[str, str]:
    """Every format that other programs rely on, by file name."""
    summary = summarise(results())
    pick_one = pick(summary, "one-se")
    recipe = recipe_of(summary.results, pick_one)
    recipe["versions"] = summary.results.facts["versions"]
    return {
        "front.json": json.dumps(summary.to_json(), indent=2) + "\n",
        "trials.csv": trials_csv(summary.results.records),
        "report.md": report_markdown(summary),
        "confirm.json": json.dumps(confirmation().to_json(), indent=2) + "\n",
        "confirm.md": "\n\n".join(confirmation_markdown(confirmation().to_json(), "confirm.svg")) + "\n",
        "confirm.txt": "\n".join(confirmation_lines(confirmation().to_json())) + "\n",
        "recipe.yaml": dump(recipe),
        "pyramid.json": json.dumps(Pyramid.geometric(8, 12).to_json(), indent=2) + "\n",
        "evaluation.json": json.dumps(evaluation(0.5, 12).to_json(), indent=2) + "\n",
    }
