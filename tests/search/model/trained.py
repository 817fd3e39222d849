"""Records of trials whose truth is known, without a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import Evaluation, State, TrialRecord
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric

EXAMPLES = 400
JUDGE = Judge(metric("accuracy"), np.ones(EXAMPLES, dtype=np.int64))


def evaluation(accuracy: float, rung: float = 1.0, seed: int = 0) -> Evaluation:
    """Right on that share of the examples; which ones differs a little from seed to seed."""
    draw = np.random.default_rng(seed)
    ease = np.arange(EXAMPLES) + draw.normal(size=EXAMPLES) * EXAMPLES / 20
    right = np.argsort(np.argsort(ease)) < round(accuracy * EXAMPLES)
    return Evaluation(**vars(JUDGE.measure(right.astype(np.int64))), rung=rung, step=round(100 * rung), loss=0.5)


def trained(
    number: int,
    pyramid: Pyramid,
    accuracies: Sequence[float],
    rungs: Sequence[float] = (1.0,),
    state: State = State.COMPLETE,
    unit: int = 100,
    rate: float = 2e-3,
) -> TrialRecord:
    """A proposal with these accuracies at its rungs, of `unit` parameters a rank."""
    curve = [evaluation(a, rung, number) for a, rung in zip(accuracies, rungs, strict=False)]
    return TrialRecord(
        number=number,
        state=state,
        baseline=None,
        pyramid=pyramid,
        learning_rate=rate,
        adapter_params=unit * pyramid.rank_units,
        trainable_params=unit * pyramid.rank_units,
        curve=tuple(curve),
        steps=curve[-1].step if curve else 0,
        planned_steps=100,
        seconds=1.0,
    )
