"""A storage whose server went away."""

from __future__ import annotations

import inspect
import re
import signal

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import TrialState

from msplora_search.search.store import patient
from msplora_search.search.store.patient import PatientStorage
from tests.servers import Postgres

QUICK = (0.01, 0.02, 0.03)
ASKS_NOTHING = {"get_heartbeat_interval", "get_heartbeat_stale_trial_callback"}


def test_whatever_the_cache_asks_a_storage_is_asked_again() -> None:
    """A study has its storage behind Optuna's cache, which calls some of its methods by other names."""
    asked = set(re.findall(r"self\._backend\.(\w+)\(", inspect.getsource(_CachedStorage)))
    assert "_create_new_trial" in asked
    assert asked - ASKS_NOTHING <= set(patient.METHODS)


def test_each_question_is_asked_again_so_often_and_no_more(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's methods ask each other: were each to ask again, two minutes would become hours."""
    monkeypatch.setattr(patient, "PAUSES", QUICK)
    monkeypatch.setattr(patient, "TOLD", QUICK[:1])
    storage, told, tries = PatientStorage(postgres.fresh("patient")), list[str](), list[object]()
    storage.waiting = told.append
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    postgres.stop(signal.SIGQUIT)
    sqlalchemy.event.listen(storage.engine, "do_connect", lambda *arguments: tries.append(arguments))
    try:
        with pytest.raises(StorageInternalError):
            storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
    finally:
        postgres.start()
    assert told == ["for the storage, which does not answer"]
    assert len(tries) == len(QUICK)  # the first attempt still had a connection
    study.tell(trial, 2.0)
    assert study.trials[0].value == 2.0
