"""A table of made-up trainings: two layers, two rates, two seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msplora_search.design.listing import every_choice
from msplora_search.settings import StudySettings
from scripts.tables import Table
from tests.small import study_fields

RATES, SEEDS, RUNGS, STEPS = (1e-2, 2e-2), (0, 1), (0.25, 0.5, 1.0), (10, 20, 40)
EXAMPLES, JUDGED = 600, 400


def small_table(folder: Path, seed: int = 0) -> Table:
    """Better with more parameters, and with the second rate; the last rung is better than the first."""
    settings = StudySettings.model_validate(study_fields(folder, proxy={"rungs": list(RUNGS)}))
    space = settings.space.for_depth(2, RATES[0], (("query", "value"),))
    pyramids = sorted((p for p, _ in every_choice(space)), key=lambda p: (p.rank_units, str(p)))
    draw, shape = np.random.default_rng(seed), (len(pyramids), len(RATES), len(SEEDS))
    size = np.log([pyramid.rank_units for pyramid in pyramids])
    accuracy = (
        0.6 + 0.2 * (size / size.max())[:, None, None] + 0.05 * np.arange(len(RATES))[:, None] + np.zeros(shape)
    )
    by_rung = accuracy[..., None] - 0.1 * (1 - np.array(RUNGS))
    return Table(
        fields=settings.model_dump(mode="json", exclude={"origin"}),
        pyramids=tuple(pyramids),
        parameters=np.array([128 * pyramid.rank_units for pyramid in pyramids]),
        rates=RATES,
        seeds=SEEDS,
        rungs=RUNGS,
        steps=STEPS,
        validation=draw.random((*shape, len(RUNGS), EXAMPLES)) < by_rung[..., None],
        judging=draw.random((*shape, JUDGED)) < accuracy[..., None],
        losses=np.ones((*shape, len(RUNGS)), dtype=np.float32),
        chance=0.5,
        layers=2,
    )
