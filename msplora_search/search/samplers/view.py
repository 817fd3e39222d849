"""A study as a sampler is to see it."""

from __future__ import annotations

import copy
from collections.abc import Container

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.results import pareto
from msplora_search.search.store.attributes import PLAN, REPEAT, record_of
from msplora_search.search.store.history import History
from msplora_search.search.telling import PRUNED, cannot_be_trained, infeasible_values

MOST_SEEN = 500
"""Trials that a sampler is shown."""


class SamplerView(optuna.Study):
    """The same study in the same storage, of which a sampler sees what it can learn from. For `ask` alone.

    Optuna's samplers model the trials that `Study._get_trials` gives them, and take for the space what dimensions
    all of these have. One baseline from outside the space, which has none, would turn the Gaussian process and
    NSGA-II into random search for good; and what fails, which all leave out, would be proposed again and again. So

    - trials without parameters (baselines outside the space, what died before it was planned), trainings with
      further seeds, and trials that were interrupted or started anew are left out;
    - failed trials, and those that repeat them, are complete, with the metric of chance and infeasible;
    - all others are as they were told.

    Of more than `MOST_SEEN` it sees the best and the latest: TPE looks at all that it is shown once a dimension.

    It is as its `History` was last looked at: a search does so before it asks, and meanwhile no other worker asks.
    """

    def __init__(
        self, study: optuna.Study, sampler: optuna.samplers.BaseSampler, history: History, chance: float
    ) -> None:
        super().__init__(study.study_name, study._storage, sampler)
        self._history = history
        self._chance = chance
        self._ended: dict[int, FrozenTrial | None] = {}
        """By number, as they are seen; None for one that is not."""

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """What is seen of the study now."""
        self._history.look()
        self._thread_local.cached_all_trials = None
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        """What was seen of it when it was asked."""
        if self._thread_local.cached_all_trials is None:
            self._thread_local.cached_all_trials = self._look()
        seen = self._thread_local.cached_all_trials
        chosen = [trial for trial in seen if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def _pop_waiting_trial_id(self) -> int | None:
        """Asks the storage for one that waits only where there is one: Optuna would read all that run."""
        standing = self._history.last or self._history.look()
        return super()._pop_waiting_trial_id() if standing.waiting else None

    def _look(self) -> list[FrozenTrial]:
        standing = self._history.last or self._history.look()
        return best_and_latest([seen for trial in standing.trials if (seen := self._seen(trial)) is not None])

    def _seen(self, trial: FrozenTrial) -> FrozenTrial | None:
        if not trial.state.is_finished():
            return None if REPEAT in trial.user_attrs else trial
        if trial.number not in self._ended:
            self._ended[trial.number] = as_seen(trial, self._chance)
        return self._ended[trial.number]


def best_and_latest(trials: list[FrozenTrial], most: int = MOST_SEEN) -> list[FrozenTrial]:
    """Of so many at most, by number: a fifth are those on the first fronts, the others the last."""
    if len(trials) <= most:
        return trials
    whole = [
        t for t in trials if t.state == TrialState.COMPLETE and not any(v > 0 for v in t.constraints.values())
    ]
    metrics, sizes = np.array([trial.values for trial in whole]).reshape(-1, 2).T
    order = np.argsort(pareto.ranks(metrics, sizes), kind="stable")
    best = {whole[i].number for i in order[: most // 5]}
    others = [trial.number for trial in trials if trial.number not in best]
    kept = best | set(others[-(most - len(best)) :])
    return [trial for trial in trials if trial.number in kept]


def as_seen(trial: FrozenTrial, chance: float) -> FrozenTrial | None:
    """A trial that ended as a sampler is to see it; None where it is not. Raises StoredError."""
    if PLAN not in trial.user_attrs or REPEAT in trial.user_attrs or not trial.params:
        return None
    if trial.state == TrialState.COMPLETE:
        return trial
    record = record_of(trial)
    if record is None or not cannot_be_trained(record):
        return None
    seen = optuna.trial.create_trial(
        values=infeasible_values(record, chance),
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        constraints={PRUNED: 1.0},
    )
    seen.number, seen._trial_id = trial.number, trial._trial_id
    return seen
