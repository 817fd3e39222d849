"""Opens the Optuna study behind an output folder, and tells whether it is of the same study file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy

from msplora_search.errors import InputError
from msplora_search.settings.models import StudySettings

DATABASE = "study.db"
SETTINGS = "settings"
"""Study attribute with the fields that results depend on."""
FACTS = "facts"
"""Study attribute with what a report needs beside the trials."""
NOT_RESULT_BEARING: Mapping[str, set[str]] = {"search": {"trials"}}


def default_url(output: Path) -> str:
    """SQLite under the output folder."""
    return f"sqlite:///{output / DATABASE}"


def connect(url: str) -> optuna.storages.RDBStorage:
    """Open a storage. Raises InputError where it does not answer."""
    wait: dict[str, Any] = {"timeout": 60} if url.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": wait})
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--storage {hide_password(url)}: does not answer ({_cause(error)}); give an Optuna URL such as "
            "sqlite:///study.db or postgresql://user@host/name"
        ) from None


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Say in one line, as InputError, that a storage stopped to answer; what it had stored is kept."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise InputError(
            f"storage {hide_password(url)}: cannot be read or written any more ({_cause(error)}); "
            "mend that, and the same command goes on from the last stored result"
        ) from None


def hide_password(url: str) -> str:
    """The URL as it may be printed."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def open_study(settings: StudySettings, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """Create the study, or go on with it.

    Raises InputError with the difference where it was begun with other result-bearing settings.
    """
    known = settings.name in optuna.get_all_study_names(storage)
    if known:
        require_same(settings, optuna.load_study(study_name=settings.name, storage=storage))
    study = optuna.create_study(
        study_name=settings.name,
        storage=storage,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    if SETTINGS not in study.user_attrs:
        study.set_metric_names([settings.task.metric_label, "log10_adapter_params"])
        study.set_user_attr(SETTINGS, result_bearing(settings))
    return study


def require_same(settings: StudySettings, study: optuna.Study) -> None:
    """Raise InputError with the difference unless results of `study` and of `settings` belong together."""
    before = study.user_attrs.get(SETTINGS)
    differences = _differences(before, result_bearing(settings)) if before else []
    if differences:
        shown = "; ".join(f"{field} was {old}, is {new}" for field, old, new in differences)
        raise InputError(
            f"study {settings.name!r} was begun with other settings: {shown}; "
            "set them back, or choose another --output or name"
        )


def require_same_data(fingerprint: str, study: optuna.Study) -> None:
    """Raise InputError unless the data are those that `study` was begun with."""
    before = study.user_attrs.get(FACTS, {}).get("data", fingerprint)
    if before != fingerprint:
        raise InputError(
            f"study {study.study_name!r} was begun with other data: the rows of task.dataset or the tokenizer "
            "have changed since; bring them back, or choose another --output or name"
        )


def result_bearing(settings: StudySettings) -> dict[str, Any]:
    """The fields that results depend on, as plain data."""
    data = settings.model_dump(mode="json", exclude={"name", "training"})
    for section, fields in NOT_RESULT_BEARING.items():
        data[section] = {key: value for key, value in data[section].items() if key not in fields}
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


def _differences(before: Any, now: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        found = [_differences(before.get(k), now.get(k), f"{place}.{k}" if place else k) for k in keys]
        return [difference for part in found for difference in part]
    return [] if before == now else [(place, before, now)]


def _cause(error: BaseException) -> str:
    """First line of what the database itself said."""
    deepest = error
    while isinstance(deepest.__cause__, sqlalchemy.exc.SQLAlchemyError):
        deepest = deepest.__cause__
    cause = getattr(deepest, "orig", None) or deepest
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
