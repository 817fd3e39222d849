"""Reads everything that a report needs back from a study's storage."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.history import History
from msplora_search.search.storage import DATABASE, FACTS, answering, connect, default_url, hide_password
from msplora_search.settings.document import Document
from msplora_search.settings.models import StudySettings


@dataclass(frozen=True)
class StudyResults:
    """The records of a study, and what is needed to judge them."""

    settings: StudySettings
    records: tuple[TrialRecord, ...]
    labels: NDArray[Any]
    """What the metric compares predictions with, for the proxy's validation examples in order."""
    facts: dict[str, Any]
    """What was true when the study last ran: sizes, counts, versions."""

    @property
    def reference_point(self) -> tuple[float, float]:
        """(metric, log10 of adapter parameters) that hypervolume is measured from."""
        point = self.facts["reference_point"]
        return point["metric"], point["log10_adapter_params"]

    def in_state(self, state: State) -> list[TrialRecord]:
        """The records in `state`."""
        return [record for record in self.records if record.state == state]


def load_results(output: Path, storage: str | None = None) -> StudyResults:
    """Read a study's storage; nothing else of the output folder is needed.

    Raises InputError where there is no study, or it has not begun.
    """
    if storage is None and not (output / DATABASE).is_file():
        raise InputError(
            f"{output}: holds no {DATABASE}; give the output folder of a run (and --storage, if the run had one)"
        )
    url = storage or default_url(output.resolve())
    connected = connect(url)
    with answering(url):
        study = optuna.load_study(study_name=_study_name(connected, output, url), storage=connected)
        facts = study.user_attrs.get(FACTS)
        records = tuple(History(study).records())
    if facts is None:
        raise InputError(f"{hide_password(url)}: study {study.study_name!r} has not begun; run it first")
    return StudyResults(
        settings=StudySettings.model_validate(facts["settings"]),
        records=records,
        labels=_labels(facts),
        facts=facts,
    )


def _labels(facts: dict[str, Any]) -> NDArray[Any]:
    dtype = facts.get("labels_dtype", "<i4")
    stored = np.frombuffer(base64.b64decode(facts["labels"]), dtype=dtype)
    return stored.astype(np.int64 if dtype == "<i4" else np.float64)


def _study_name(storage: optuna.storages.BaseStorage, output: Path, url: str) -> str:
    """The only study of the storage, or the one that the output folder's study.yaml names."""
    names = optuna.get_all_study_names(storage)
    if len(names) == 1:
        return names[0]
    described = output / "study.yaml"
    name = Document.read(described).get("name") if described.is_file() else None
    if name not in names:
        raise InputError(f"{hide_password(url)}: holds the studies {names}; none is named in {described}")
    return str(name)
