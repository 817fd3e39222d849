"""Retrains the front, its contenders and the baselines in full, with several seeds, on the untouched test part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msplora_search.errors import InputError
from msplora_search.full.jobs import Job, Tell, read, train_all
from msplora_search.full.judgement import Confirmation, Tried, chosen_rate, judge_found
from msplora_search.full.recipe import recipe_of
from msplora_search.full.selection import Pick
from msplora_search.search.points import Point
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Summary, summarise
from msplora_search.settings.document import Document
from msplora_search.settings.origins import Origins
from msplora_search.settings.recipe import Recipe
from msplora_search.text import brief

FOLDER = "confirm"
FIRST_SEED, SEEDS = 1000, 2**31
"""A confirmation's seeds follow `search.seed` at this distance, so that none of them is one of the search's; there
are so many in all."""
LEAST_PROBABILITY = 0.2
"""Of being on the true front, from which on a configuration is confirmed too."""
RATE = "training.learning_rate"


def confirm(
    results: StudyResults,
    output: Path,
    seeds: int,
    tell: Tell = lambda _: None,
    workers: int = 1,
    overrides: Sequence[str] = (),
    rates: Sequence[float] = (),
    measured: bool = True,
) -> Confirmation:
    """Train every candidate in full with the seeds `search.seed` + 1000, 1001, ..., none of which chose it.

    What is trained already is not trained again: each training has a folder `trial-NUMBER-seed-SEED` in
    `output`/confirm, at one of several `rates` `trial-NUMBER-rate-RATE-seed-SEED`. Those of version 0.1, which had
    the seeds 0, 1, ..., are left alone. `tell` hears what is planned, and of each training that is done. With
    several `workers` as many trainings run at a time, each in a process of its own, as in a search. `overrides`
    such as `training.epochs=3` change how all of them are trained. Of several `rates` each point has the one that
    is best on the mean over seeds, on validation rows that nothing else is chosen by. `measured`: whether what
    serving takes is measured at the end of one training of each point.
    Raises InputError where there is nothing to confirm, and as `train_recipe` does.
    """
    for option, value in (("--seeds", seeds), ("--workers", workers)):
        if value < 1:
            raise InputError(f"{option} {value}: must be at least 1")
    points = candidates(summarise(results))
    if not points:
        raise InputError(f"{output}: no trial was measured to the end, so there is nothing to confirm")
    jobs = [
        job
        for place, point in enumerate(points)
        for job in _jobs(results, place, point, seeds, overrides, sorted(rates), output / FOLDER, measured)
    ]
    train_all(jobs, tell, workers)
    tried = [_tried([job for job in jobs if job.place == place]) for place in range(len(points))] if rates else []
    kept = [job for job in jobs if not rates or job.recipe.training.learning_rate == chosen_rate(tried[job.place])]
    found = [
        (point, tuple(read(job).test for job in kept if job.place == place)) for place, point in enumerate(points)
    ]
    adapters = [tuple(job.adapters for job in kept if job.place == place) for place in range(len(points))]
    servings = [
        next((read(job).serving for job in kept if job.place == place and job.measures), None)
        for place in range(len(points))
    ]
    return judge_found(results, found, read(jobs[0]).judge, tried, adapters, servings)


def read_rates(text: str) -> list[float]:
    """The learning rates of `5e-4,1e-3`. Raises InputError where they are not two or more, each another."""
    try:
        rates = [float(word) for word in text.split(",")]
    except ValueError:
        rates = []
    if len(set(rates)) < 2 or len(set(rates)) < len(rates) or not all(0 < rate < 1 for rate in rates):
        raise InputError(
            f"--rates {brief(text)}: must be two or more learning rates, each another one between 0 and 1, such "
            "as 5e-4,1e-3"
        )
    return rates


def candidates(summary: Summary) -> list[Point]:
    """The baselines, the front, and what may be on the true one, by rising cost.

    Each pyramid once, whatever the proxy's learning rate was: full training has a rate of its own.
    """
    baselines = ([summary.paper] if summary.paper else []) + summary.lora
    contenders = [point for point in summary.points if point.front_probability >= LEAST_PROBABILITY]
    contenders.sort(key=lambda point: point.front_probability)
    unique = {point.record.pyramid: point for point in [*contenders, *summary.front, *baselines]}
    return sorted(unique.values(), key=lambda p: (p.cost, p.record.number))


def _tried(jobs: Sequence[Job]) -> tuple[Tried, ...]:
    """The rates of one point."""
    by_rate: dict[float, list[float]] = {}
    for job in jobs:
        metric = read(job).choosing
        assert metric is not None
        by_rate.setdefault(job.recipe.training.learning_rate, []).append(metric)
    return tuple(Tried(rate, float(np.mean(metrics))) for rate, metrics in by_rate.items())


def _jobs(
    results: StudyResults,
    place: int,
    point: Point,
    seeds: int,
    overrides: Sequence[str],
    rates: Sequence[float],
    folder: Path,
    measured: bool,
) -> list[Job]:
    document = Document(recipe_of(results, Pick(point, "to be confirmed")), Origins(source="the study"))
    for override in overrides:
        if not override.startswith("training.") or override.startswith("training.seed"):
            raise InputError(f"--set {override}: must be a field of full training, such as training.epochs=3")
        if rates and override.startswith(RATE):
            raise InputError(f"--set {override}: --rates says it already; leave one of them out")
        document.override(override)
    jobs, name = [], f"trial-{point.record.number}"
    for rate in rates or (None,):
        at = name if rate is None else f"{name}-rate-{rate!r}"
        if rate is not None:
            document.put(RATE, rate)
        for further in range(seeds):
            seed = (results.settings.search.seed + FIRST_SEED + further) % SEEDS
            document.put("training.seed", seed)
            recipe = document.validate(Recipe)
            where = folder / f"{at}-seed-{seed}"
            jobs.append(Job(place, point.name, recipe, where, rate is not None, measured and not further))
    return jobs
