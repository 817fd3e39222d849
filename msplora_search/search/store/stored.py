"""What a storage holds, as it is read: damaged, or of another version, it is one line of what and where."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial

from msplora_search.text import printable


class StoredError(Exception):
    """Something stored that cannot be read; the text says what, `storage.answering` says where it stands."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise StoredError where turning stored text into records fails. Nothing else may be done within."""
    try:
        yield
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        RecursionError,
        zlib.error,
    ) as error:
        said = printable(str(error).strip().partition("\n")[0])[:200]
        raise StoredError(f"{what}: {type(error).__name__} {said}") from None


@contextmanager
def much_made() -> Iterator[None]:
    """Keep the garbage collector away while hundreds of thousands of objects are made, none of them garbage."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """All trials of a study by number; they are shared, and must not be changed. Raises StoredError.

    They come from Optuna's cache as they stand there: it sorts all trials, one Python call each, whenever it is
    asked, which a search does several times a trial.
    """
    storage = study._storage
    try:
        with reading("its trials"):
            if not isinstance(storage, _CachedStorage):
                return study.get_trials(deepcopy=False)
            storage._read_trials_from_remote_storage(study._study_id)
            with storage._lock:
                trials = storage._studies[study._study_id].trials
                return [trials[number] for number in sorted(trials)]
    except StoredError as error:
        damaged = _damaged_trial(study)
        raise error if damaged is None else damaged from None


def attributes_of(study: optuna.Study) -> dict[str, Any]:
    """The attributes of a study. Raises StoredError."""
    with reading(f"study {study.study_name!r}"):
        return study.user_attrs


def _damaged_trial(study: optuna.Study) -> StoredError | None:
    """The first trial that cannot be read by itself."""
    storage, number = study._storage, 0
    with suppress(KeyError):  # no trial of that number
        while True:
            trial = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
            try:
                with reading(f"trial {number}"):
                    storage.get_trial(trial)
            except StoredError as error:
                return error
            number += 1
    return None
