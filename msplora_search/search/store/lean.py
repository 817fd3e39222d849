"""A storage of Optuna's that does not read again and again what others are training."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import optuna
import sqlalchemy
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState

from msplora_search.search.store.attributes import PLAN
from msplora_search.search.store.bulk import all_trials

MOST_NAMED = 500
"""Trials that are asked for by name; of more all are."""


class LeanStorage(optuna.storages.RDBStorage):
    """Of a trial that runs it reads, once its plan is known, the state alone until it ends.

    Optuna's cache of ended trials reads each running one anew, with all its attributes, whenever it is asked:
    with 64 workers, 64 trials for each of five questions a trial. What changes while they run is how far they are,
    by which nothing is decided elsewhere. Who reads a single trial reads all of it.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._planned: set[int] = set()
        """Those that were read while they ran, with their plan."""

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        among, after = included_trial_ids, trial_id_greater_than
        if states is None and after > -1 and self._planned & among:
            there = self._states(study_id, among, after)
            changed = {
                number for number, state in there if state != TrialState.RUNNING or number not in self._planned
            }
            if not changed:
                return []
            if len(changed) <= MOST_NAMED:
                among, after = changed, max(number for number, _ in there)
        if states is None and after == -1:
            with _create_scoped_session(self.scoped_session) as session:
                models.StudyModel.find_or_raise_by_id(study_id, session)
                found = all_trials(session, study_id)
        else:
            found = super()._get_trials(study_id, states, among, after)
        for trial in found:
            if trial.state == TrialState.RUNNING and PLAN in trial.user_attrs:
                self._planned.add(trial._trial_id)
            else:
                self._planned.discard(trial._trial_id)
        return found

    def _states(self, study_id: int, among: set[int], after: int) -> list[tuple[int, TrialState]]:
        """Of each of these trials, and of those with greater numbers."""
        kind = models.TrialModel
        asked = sqlalchemy.select(kind.trial_id, kind.state).where(
            kind.study_id == study_id, sqlalchemy.or_(kind.trial_id.in_(among), kind.trial_id > after)
        )
        with self.engine.connect() as connection:
            return [(number, state) for number, state in connection.execute(asked)]
