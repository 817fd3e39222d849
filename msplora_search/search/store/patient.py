"""A storage of Optuna's that outlives a restart of its server."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from msplora_search.search.store.lean import LeanStorage

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds before each new attempt: two minutes in all."""
TOLD = (PAUSES[0], PAUSES[-1])
"""Those before which it is told."""
_asking: ContextVar[bool] = ContextVar("asking", default=False)
"""Whether what asks is itself asked for by a method that would ask again, as Optuna's call each other."""
METHODS = (
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "create_new_trial", "set_trial_param", "get_trial_id_from_study_id_trial_number",
    "set_trial_state_values", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr",
    "get_trial", "get_all_trials", "record_heartbeat", "_get_stale_trial_ids", "_get_trials",
    "_create_new_trial", "_set_trial_param", "_get_best_trial_id",
)  # fmt: skip
"""All that asks the database, also by those names that Optuna's cache has for it. What was done, but not heard of,
may be done twice: a trial that nobody knows of is an orphan, and one whose end is told twice has ended."""


class PatientStorage(LeanStorage):
    """Asks again where the connection broke, for two minutes; then it raises what Optuna raises."""

    waiting: Callable[[str], None] = staticmethod(lambda _: None)
    """Told why it waits."""


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(LeanStorage, name)

    @functools.wraps(method)
    def call(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        if _asking.get():
            return method(self, *arguments, **named)
        outermost = _asking.set(True)
        try:
            return _asked(self, functools.partial(method, self, *arguments, **named))
        finally:
            _asking.reset(outermost)

    return call


def _asked(storage: PatientStorage, ask: Callable[[], Any]) -> Any:
    """The answer, as soon as there is one."""
    for pause in PAUSES:
        try:
            return ask()
        except (StorageInternalError, OperationalError, InterfaceError) as error:
            if not _is_broken(error):
                raise
        with suppress(SQLAlchemyError):  # what it would take back is gone with the connection
            storage.remove_session()
        if pause in TOLD:
            storage.waiting("for the storage, which does not answer")
        time.sleep(pause)
    return ask()


def _is_broken(error: BaseException) -> bool:
    """Whether the connection is what failed, not what was asked."""
    cause = error if isinstance(error, OperationalError | InterfaceError) else error.__cause__
    return isinstance(cause, OperationalError | InterfaceError)


for _name in METHODS:
    setattr(PatientStorage, _name, _patient(_name))
