"""The samplers that Optuna has: they learn from values and constraints alone (see `SamplerView`)."""

from __future__ import annotations

from typing import Literal

import optuna

RANDOM_STARTS = 10
"""Proposals that TPE and the Gaussian process draw at random before they begin to model; Optuna's own default."""
NSGA2_POPULATION = 12
"""Optuna's 50 would be random search for as long as most searches here last."""


def of_optuna(
    name: Literal["tpe", "nsga2", "gp", "random"], baselines: int, seed: int
) -> optuna.samplers.BaseSampler:
    """One of them. Its random starts come on top of the `baselines` that lie in the space.

    TPE and the Gaussian process count those as trials; the first population of NSGA-II is what it proposed itself.
    """
    starts = RANDOM_STARTS + baselines
    match name:
        case "tpe":
            return optuna.samplers.TPESampler(n_startup_trials=starts, seed=seed)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=NSGA2_POPULATION, seed=seed)
        case "gp":
            return optuna.samplers.GPSampler(n_startup_trials=starts, seed=seed)
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
