"""Optuna's samplers by the names of a study file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.search.store.history import is_interrupted
from msplora_search.settings.models import SearchSettings

NSGA2_POPULATION = 12
"""Optuna's 50 would be random search for as long as most searches here last."""
WORKER_STRIDE = 1_000_003
"""Between the seeds of two workers; further apart than any study has trials."""


def sampler_for(search: SearchSettings, trials: int, worker: int = 0) -> optuna.samplers.BaseSampler:
    """The study's sampler, seeded so that neither a resumed search nor another worker repeats its draws."""
    seed = (search.seed + trials + WORKER_STRIDE * worker) % 2**32
    match search.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed)
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "brute-force":
            return _Enumeration(seed=seed)


class _Enumeration(optuna.samplers.BruteForceSampler):
    """Optuna's enumeration, beside baselines from outside the space and trials that were interrupted.

    Those have no parameters, or the first few, which Optuna takes for a space that has changed. The
    search itself tells when the space is exhausted.
    """

    @staticmethod
    def _populate_tree(tree: Any, trials: list[FrozenTrial], params: dict[str, Any]) -> None:
        inside = [trial for trial in trials if trial.distributions and not is_interrupted(trial)]
        optuna.samplers.BruteForceSampler._populate_tree(tree, inside, params)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        pass
