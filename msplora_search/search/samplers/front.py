"""The sampler `front`: proposes what is expected to raise the front most, of a cost that is known exactly."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.proposal import Proposer
from msplora_search.search.store.history import History


class FrontSampler(optuna.samplers.BaseSampler):
    """An Optuna sampler: storage, resuming and dashboards work as with any other.

    What it proposes follows from the study's records and the forecaster's seed, so a search that was interrupted
    goes on as if it had not been. Where no candidate is left it proposes anything.
    """

    def __init__(self, forecaster: Forecaster, proposer: Proposer, history: History, seed: int) -> None:
        self._forecaster, self._proposer, self._history = forecaster, proposer, history
        self._anything = optuna.samplers.RandomSampler(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension of the space; none for a trial that was enqueued with its parameters."""
        return {} if "fixed_params" in trial.system_attrs else self._proposer.dimensions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the configuration to train next; none where none is left."""
        proposal = self._forecaster.next_proposal(self._history.records()) if search_space else None
        if proposal is None:
            return {}
        found = self._proposer.parameters(*proposal)
        return {name: found[name] for name in search_space}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Any value."""
        return self._anything.sample_independent(study, trial, param_name, param_distribution)
