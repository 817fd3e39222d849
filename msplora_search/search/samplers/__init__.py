"""What proposes configurations, by its name in a study file: one file a sampler, or a family of them."""

from __future__ import annotations

import optuna

from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.samplers.enumeration import Enumeration
from msplora_search.search.samplers.front import FrontSampler
from msplora_search.search.samplers.library import of_optuna
from msplora_search.search.store.history import History
from msplora_search.search.untried import Untried
from msplora_search.settings.models import SearchSettings

WORKER_STRIDE = 1_000_003
"""Between the seeds of two workers; further apart than any study has trials."""


def seed_for(search: SearchSettings, trials: int, worker: int) -> int:
    """A seed with which neither a resumed search nor another worker repeats what was drawn."""
    return (search.seed + trials + WORKER_STRIDE * worker) % 2**32


def sampler_for(
    search: SearchSettings,
    untried: Untried,
    history: History,
    forecaster: Forecaster,
    baselines: int,
    seed: int,
) -> optuna.samplers.BaseSampler:
    """The sampler of a study, which may look at the configurations that are left and at what was measured.

    `baselines`: how many of them lie in the space, and are measured before its first proposal.
    """
    match search.sampler:
        case "front":
            return FrontSampler(forecaster, untried.proposer, history, seed)
        case "brute-force":
            return Enumeration(untried, history, seed)
        case "tpe" | "nsga2" | "gp" | "random" as name:
            return of_optuna(name, baselines, seed)
