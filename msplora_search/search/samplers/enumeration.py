"""Brute force: every configuration of a space once, in random order."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from msplora_search.search.store.history import History
from msplora_search.search.untried import Untried


class Enumeration(optuna.samplers.BaseSampler):
    """Proposes what nobody has begun, whatever was measured; anything, where nothing like that is found.

    Optuna's own enumerates parameters, of which many build the same model.
    """

    def __init__(self, untried: Untried, history: History, seed: int) -> None:
        self._untried = untried
        self._history = history
        self._anything = optuna.samplers.RandomSampler(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension of the space."""
        return self._untried.proposer.dimensions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters of a configuration that is left; none where there is none."""
        return self._untried.draw(self._history.look().known) or {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Any value."""
        return self._anything.sample_independent(study, trial, param_name, param_distribution)
