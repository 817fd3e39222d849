"""A storage of Optuna's that outlives a restart of its server."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds before each new attempt: two minutes in all."""
METHODS = (
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "create_new_trial", "set_trial_param", "get_trial_id_from_study_id_trial_number",
    "set_trial_state_values", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr",
    "get_trial", "get_all_trials", "record_heartbeat", "_get_stale_trial_ids", "_get_trials",
)  # fmt: skip
"""All that asks the database. What was done, but not heard of, may be done twice: a trial that nobody knows of is
an orphan, and one whose end is told twice has ended."""


class PatientStorage(optuna.storages.RDBStorage):
    """Asks again where the connection broke, for two minutes; then it raises what Optuna raises."""

    waiting: Callable[[str], None] = staticmethod(lambda _: None)
    """Told why it waits."""


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(optuna.storages.RDBStorage, name)

    @functools.wraps(method)
    def call(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        for pause in PAUSES:
            try:
                return method(self, *arguments, **named)
            except (StorageInternalError, OperationalError, InterfaceError) as error:
                if not _is_broken(error):
                    raise
                with suppress(SQLAlchemyError):  # what it would take back is gone with the connection
                    self.remove_session()
                self.waiting("the storage does not answer; trying again")
                time.sleep(pause)
        return method(self, *arguments, **named)

    return call


def _is_broken(error: BaseException) -> bool:
    """Whether the connection is what failed, not what was asked."""
    cause = error if isinstance(error, OperationalError | InterfaceError) else error.__cause__
    return isinstance(cause, OperationalError | InterfaceError)


for _name in METHODS:
    setattr(PatientStorage, _name, _patient(_name))
