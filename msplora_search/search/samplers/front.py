"""The sampler `front`: proposes what is expected to raise the front most, of a cost that is known exactly."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial, FrozenTrial

from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.proposal import Proposer
from msplora_search.search.store.history import History


class FrontSampler(optuna.samplers.BaseSampler):
    """An Optuna sampler: storage, resuming and dashboards work as with any other.

    What it proposes depends on the study's records and on the forecaster's seed alone, so a search that was
    interrupted goes on as if it had not been.
    """

    def __init__(self, forecaster: Forecaster, proposer: Proposer, history: History) -> None:
        self._forecaster, self._proposer, self._history = forecaster, proposer, history

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension of the space; none for a trial that was enqueued with its parameters."""
        if "fixed_params" in trial.system_attrs:
            return {}
        trial_of_one = FixedTrial(self._proposer.parameters(*self._forecaster.candidates.proposals[0]))
        self._proposer.propose(trial_of_one)
        return trial_of_one.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the configuration to train next."""
        if not search_space:
            return {}
        found = self._proposer.parameters(*self._forecaster.next_proposal(self._history.records()))
        return {name: found[name] for name in search_space}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: every dimension is chosen together. Raises AssertionError."""
        raise AssertionError(f"{param_name} is not a dimension of the space")
