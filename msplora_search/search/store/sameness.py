"""Whether results of a study file and of a stored study belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna

from msplora_search.errors import InputError
from msplora_search.search.store.stored import attributes_of
from msplora_search.settings.load import stored_settings
from msplora_search.settings.models import PruningSettings, StudySettings
from msplora_search.tasks.cache import FORMAT
from msplora_search.text import shown

SETTINGS = "settings"
"""Study attribute with the fields that results depend on."""
VERSION = "settings_version"
"""Study attribute with the form of those fields, and of all else that is stored."""
CURRENT = 1
"""Rises where what an older version stored means something else now; new fields with defaults need no new one."""
READING_OF_0_1 = 3
"""What `tasks.cache.FORMAT` was before it was stored."""
FACTS = "facts"
"""Study attribute with what a report needs beside the trials."""
NOT_RESULT_BEARING: Mapping[str, set[str]] = {
    "search": {"trials", "time", "steps", "until", "sampler", "noise_repeats", "repeats", "warm_start"},
    "pruning": set(PruningSettings.model_fields),
}
"""Fields that say how much is trained, or what of it; no measurement depends on them."""


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
    if SETTINGS not in attributes_of(study):
        study.set_metric_names([settings.task.metric_label, settings.search.cost.key])
        study.set_user_attr(VERSION, CURRENT)
        study.set_user_attr(SETTINGS, result_bearing(settings))
    return study


def require_same(settings: StudySettings, study: optuna.Study) -> None:
    """Raise InputError with the difference unless results of `study` and of `settings` belong together.

    A field that was unknown when the study was begun had its default then.
    """
    require_readable(study)
    stored = attributes_of(study).get(SETTINGS)
    if not stored:
        return
    before = result_bearing(settings_of({**stored, "name": settings.name}, study.study_name))
    differences = _differences(before, result_bearing(settings))
    if differences:
        told = "; ".join(f"{field} was {shown(old)}, is {shown(new)}" for field, old, new in differences)
        raise InputError(
            f"study {settings.name!r} was begun with other settings: {told}; "
            "set them back, or choose another --output or name"
        )


def require_readable(study: optuna.Study) -> None:
    """Raise InputError for a study in a form that only a newer version knows."""
    version = attributes_of(study).get(VERSION, 1)
    if not isinstance(version, int) or version > CURRENT:
        raise InputError(
            f"study {study.study_name!r} was written by a newer version of msplora-search (its form is "
            f"{shown(version)}, this version knows {CURRENT}); install that, or choose another --output or name"
        )


def require_same_data(fingerprint: str, study: optuna.Study) -> None:
    """Raise InputError unless the data are those that `study` was begun with."""
    facts = attributes_of(study).get(FACTS)
    before = facts if isinstance(facts, dict) else {}
    if before.get("data", fingerprint) == fingerprint:
        return
    if before.get("reading", READING_OF_0_1) != FORMAT:
        raise InputError(
            f"study {study.study_name!r} was begun by a version that reads data by other rules; choose another "
            "--output or name, or install the version that began it",
            field="task.dataset",
        )
    raise InputError(
        f"study {study.study_name!r} was begun with other data: the rows of task.dataset or the tokenizer "
        "have changed since; bring them back, or choose another --output or name",
        field="task.dataset",
    )


def settings_of(stored: Any, study: str) -> StudySettings:
    """Settings as a study of any earlier version stored them; what it did not know has its default.

    Raises InputError where this version does not know what is stored.
    """
    try:
        return stored_settings(stored)
    except InputError as error:
        raise InputError(
            f"study {study!r}: {error}; install the version that wrote it, or choose another --output or name"
        ) from None


def result_bearing(settings: StudySettings) -> dict[str, Any]:
    """The fields that results depend on, as plain data."""
    data = settings.model_dump(mode="json", exclude={"name", "training", "scale"})
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
