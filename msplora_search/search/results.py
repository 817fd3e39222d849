"""Reads everything that a report needs back from a study's storage."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.errors import InputError, NotBegunError
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.store.address import DATABASE, default_url, hide_password
from msplora_search.search.store.attributes import Influences, is_interrupted, started_again, worker_of
from msplora_search.search.store.facts import complete_facts, judges_of
from msplora_search.search.store.folder import is_running
from msplora_search.search.store.history import History
from msplora_search.search.store.identity import is_gone
from msplora_search.search.store.own_file import STUDY_FILE, holds_study
from msplora_search.search.store.sameness import FACTS, require_readable, settings_of
from msplora_search.search.store.storage import opened
from msplora_search.search.store.stored import attributes_of, much_made, reading, trials_of
from msplora_search.settings.document import Document
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.labels import metric_of
from msplora_search.tasks.metrics import Metric
from msplora_search.text import shown


@dataclass(frozen=True)
class StudyResults:
    """The records of a study, and what is needed to judge them."""

    settings: StudySettings
    records: tuple[TrialRecord, ...]
    validation: Judge
    """Of the proxy's validation examples, in order."""
    facts: dict[str, Any]
    """What was true when the study last ran: sizes, counts, versions."""
    interrupted: tuple[int, ...] = ()
    """Trials that were begun, have no result, and that nobody trains now: the same run trains them anew."""
    judging: Judge | None = None
    """Of the examples that no choice reads; None where there are too few."""
    hosts: Mapping[int, str] = field(default_factory=dict)
    """Where those trials run that run on another machine; whether they still do cannot be told from here."""

    @property
    def metric(self) -> Metric:
        """The metric of the study, which knows its classes."""
        return self.validation.metric

    @property
    def reference_point(self) -> tuple[float, float]:
        """(metric, log10 of cost) that hypervolume is measured from."""
        point = self.facts["reference_point"]
        return point["metric"], point[self.settings.search.cost.key]

    def in_state(self, state: State) -> list[TrialRecord]:
        """The records in `state`."""
        return list(self._by_state.get(state, ()))

    @cached_property
    def _by_state(self) -> dict[State, list[TrialRecord]]:
        found: dict[State, list[TrialRecord]] = {}
        for record in self.records:
            found.setdefault(record.state, []).append(record)
        return found


def load_results(output: Path, storage: str | None = None) -> StudyResults:
    """Read a study's storage; nothing else of the output folder is needed.

    Raises NotBegunError where there is no study or it has not begun, InputError where what is stored cannot be
    read.
    """
    if storage is None and not holds_study(output):
        raise NotBegunError(
            f"{output}: holds no {DATABASE} with a study; give the output folder of a run "
            "(and --storage, if the run had one)"
        )
    url = storage or default_url(output.resolve())
    with much_made(), opened(url) as connected:
        study = optuna.load_study(study_name=_study_name(connected, output, url), storage=connected)
        require_readable(study)
        stored = attributes_of(study).get(FACTS)
        if stored is None:
            raise NotBegunError(f"{hide_password(url)}: study {study.study_name!r} has not begun; run it first")
        with reading("its facts"):
            facts = complete_facts(stored)
            settings = settings_of(facts["settings"], study.study_name)
            validation, judging = judges_of(facts, metric_of(settings.task, facts["classes"]))
        influences = Influences.by(validation, judging)
        records = tuple(History(study, influences, settings.search.seed).records())
        trials = trials_of(study)
        vacant = storage is None and not is_running(output)
        return StudyResults(
            settings=settings,
            records=records,
            validation=validation,
            judging=judging,
            facts=facts,
            interrupted=_interrupted(trials, vacant),
            hosts=_hosts(trials),
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
        raise NotBegunError(f"{hide_password(url)}: holds no study; run one first")
    described = output / STUDY_FILE
    name = Document.read(described).get("name") if described.is_file() else None
    if name not in names:
        raise InputError(f"{hide_password(url)}: holds the studies {shown(names)}; none is named in {described}")
    return str(name)
