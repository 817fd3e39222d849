"""Reads everything that a report needs back from a study's storage."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from msplora_search.errors import InputError
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.store.address import DATABASE, default_url, hide_password
from msplora_search.search.store.facts import complete_facts, labels_of
from msplora_search.search.store.folder import is_running
from msplora_search.search.store.history import History, is_interrupted, started_again, worker_of
from msplora_search.search.store.identity import is_gone
from msplora_search.search.store.own_file import STUDY_FILE, holds_study
from msplora_search.search.store.sameness import FACTS, require_readable, settings_of
from msplora_search.search.store.storage import answering, connect
from msplora_search.search.store.stored import StoredError, attributes_of, reading, trials_of
from msplora_search.settings.document import Document
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.labels import metric_of
from msplora_search.tasks.metrics import Metric
from msplora_search.text import shown


@dataclass(frozen=True)
class StudyResults:
    """The records of a study, and what is needed to judge them."""

    settings: StudySettings
    records: tuple[TrialRecord, ...]
    labels: NDArray[Any]
    """What the metric compares predictions with, for the proxy's validation examples in order."""
    facts: dict[str, Any]
    """What was true when the study last ran: sizes, counts, versions."""
    interrupted: tuple[int, ...] = ()
    """Trials that were begun, have no result, and that nobody trains now: the same run trains them anew."""
    hosts: Mapping[int, str] = field(default_factory=dict)
    """Where those trials run that run on another machine; whether they still do cannot be told from here."""

    @property
    def judge(self) -> Metric:
        """The metric of the study, which knows its classes."""
        return metric_of(self.settings.task, self.facts["classes"])

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

    Raises InputError where there is no study, it has not begun, or what is stored cannot be read.
    """
    if storage is None and not holds_study(output):
        raise InputError(
            f"{output}: holds no {DATABASE} with a study; give the output folder of a run "
            "(and --storage, if the run had one)"
        )
    url = storage or default_url(output.resolve())
    connected = connect(url)
    with answering(url):
        study = optuna.load_study(study_name=_study_name(connected, output, url), storage=connected)
        require_readable(study)
        stored = attributes_of(study).get(FACTS)
        if stored is None:
            raise InputError(f"{hide_password(url)}: study {study.study_name!r} has not begun; run it first")
        with reading("its facts"):
            facts = complete_facts(stored)
            labels = labels_of(facts)
        records = tuple(History(study).records())
        _require_measured_on(labels, records)
        trials = trials_of(study)
        vacant = storage is None and not is_running(output)
        return StudyResults(
            settings=settings_of(facts["settings"], study.study_name),
            records=records,
            labels=labels,
            facts=facts,
            interrupted=_interrupted(trials, vacant),
            hosts=_hosts(trials),
        )


def _require_measured_on(labels: NDArray[Any], records: tuple[TrialRecord, ...]) -> None:
    """Raise StoredError for a measurement of other examples than the labels are of."""
    for record in records:
        for evaluation in record.curve:
            counts = {len(evaluation.predictions), len(evaluation.qualities)}
            if counts != {len(labels)}:
                raise StoredError(
                    f"trial {record.number}: has {min(counts)} predictions for {len(labels)} examples"
                )


def _interrupted(trials: list[FrozenTrial], vacant: bool) -> tuple[int, ...]:
    """`vacant`: nobody is at work on the study."""
    again = started_again(trials)
    last = {_baseline(t): t.number for t in trials}
    return tuple(
        t.number
        for t in trials
        if t.number not in again and (not _baseline(t) or last[_baseline(t)] == t.number) and _is_left(t, vacant)
    )


def _baseline(trial: FrozenTrial) -> tuple[Any, Any] | None:
    name = trial.user_attrs.get("baseline")
    return None if name is None else (name, trial.user_attrs.get("learning_rate"))


def _is_left(trial: FrozenTrial, vacant: bool) -> bool:
    if trial.state != TrialState.RUNNING:
        return is_interrupted(trial) and worker_of(trial) is not None
    worker = worker_of(trial)
    return vacant or (worker is not None and is_gone(worker))


def _hosts(trials: list[FrozenTrial]) -> dict[int, str]:
    running = [(t.number, worker_of(t)) for t in trials if t.state == TrialState.RUNNING]
    return {number: worker["host"] for number, worker in running if worker and worker["host"] != platform.node()}


def _study_name(storage: optuna.storages.BaseStorage, output: Path, url: str) -> str:
    """The only study of the storage, or the one that the output folder's study.yaml names."""
    names = optuna.get_all_study_names(storage)
    if len(names) == 1:
        return names[0]
    if not names:
        raise InputError(f"{hide_password(url)}: holds no study; run one first")
    described = output / STUDY_FILE
    name = Document.read(described).get("name") if described.is_file() else None
    if name not in names:
        raise InputError(f"{hide_password(url)}: holds the studies {shown(names)}; none is named in {described}")
    return str(name)
