"""Makes a study ready for a worker: its facts, its baselines, and what became of trials whose process died."""

from __future__ import annotations

import base64
import math
from importlib.metadata import version
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState

from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.baselines import Baseline
from msplora_search.search.history import is_interrupted, is_orphan, record_of
from msplora_search.search.objective import TrialFailedError, tell_values
from msplora_search.search.proposal import Proposer
from msplora_search.search.storage import FACTS, require_same_data
from msplora_search.settings.document import dump
from msplora_search.settings.models import StudySettings

STUDY_FILE = "study.yaml"


def prepare_study(
    study: optuna.Study, workbench: Workbench, proposer: Proposer, baselines: list[Baseline], output: Path
) -> None:
    """Write down what is searched, settle what earlier processes left, enqueue the missing baselines.

    Done anew by every worker, under a lock. Raises InputError where the study was begun with other data.
    """
    require_same_data(workbench.task.train.corpus.fingerprint, study)
    _describe(workbench.settings, output)
    study.set_user_attr(FACTS, _facts(workbench, proposer.space, baselines))
    _heal(study, workbench)
    _enqueue_baselines(study, baselines, proposer)


def _enqueue_baselines(study: optuna.Study, baselines: list[Baseline], proposer: Proposer) -> None:
    """Enqueue the baselines that have no trial yet."""
    present = set()
    for trial in study.get_trials(deepcopy=False):
        record = record_of(trial)
        if record is not None or trial.state == TrialState.WAITING:
            present.add((trial.user_attrs.get("baseline"), trial.user_attrs.get("learning_rate")))
    for baseline in baselines:
        if (baseline.name, baseline.learning_rate) in present:
            continue
        choice = proposer.space.locate(baseline.pyramid)
        inside = choice is not None and proposer.space.contains_rate(baseline.learning_rate)
        study.enqueue_trial(
            proposer.parameters(choice, baseline.learning_rate) if choice is not None and inside else {},
            user_attrs={
                "baseline": baseline.name,
                "pyramid": baseline.pyramid.to_json(),
                "learning_rate": baseline.learning_rate,
                "in_space": inside,
            },
        )


def _heal(study: optuna.Study, workbench: Workbench) -> None:
    """Settle trials whose process died: tell a result that was stored, start the others anew."""
    trials = study.get_trials(deepcopy=False)
    restarted = {trial.user_attrs.get("restart_of") for trial in trials}
    for trial in trials:
        record = record_of(trial)
        orphaned = trial.state == TrialState.RUNNING and is_orphan(trial)
        if orphaned and record is not None and record.state != State.RUNNING:
            _tell(study, trial, record, workbench.task.chance)
        elif orphaned or is_interrupted(trial):
            # A baseline is found missing and enqueued with the others.
            if trial.params and not trial.user_attrs.get("baseline") and trial.number not in restarted:
                study.enqueue_trial(trial.params, user_attrs={"restart_of": trial.number})
            if orphaned:
                study.tell(trial.number, state=TrialState.FAIL)


def _tell(study: optuna.Study, trial: optuna.trial.FrozenTrial, record: TrialRecord, chance: float) -> None:
    """Finish a trial that stored its result but was killed before Optuna was told."""
    try:
        study.tell(trial.number, tell_values(optuna.Trial(study, trial._trial_id), record, chance))
    except TrialFailedError:
        study.tell(trial.number, state=TrialState.FAIL)


def _facts(workbench: Workbench, space: SearchSpace, baselines: list[Baseline]) -> dict[str, object]:
    """What a report needs beside the trials."""
    task, truth = workbench.task, workbench.task.validation.truth
    labels_dtype = "<i4" if np.issubdtype(truth.dtype, np.integer) else "<f8"
    largest = max(
        [space.max_rank_units * workbench.params_per_rank()]
        + [workbench.adapter_params(baseline.pyramid) for baseline in baselines]
    )
    return {
        "settings": workbench.settings.model_dump(mode="json"),
        "data": task.train.corpus.fingerprint,
        "labels": base64.b64encode(truth.astype(labels_dtype).tobytes()).decode(),
        "labels_dtype": labels_dtype,
        "classes": list(task.classes),
        "train_examples": len(task.train),
        "validation_examples": len(task.validation),
        "note": task.note,
        "layers": workbench.layers,
        "configurations": space.size,
        "pyramids": space.pyramids,
        "baselines": len(baselines),
        "proxy_steps": workbench.steps,
        "head_params": workbench.head_params,
        "precision": str(workbench.precision.dtype).removeprefix("torch."),
        "reference_point": {"metric": task.chance, "log10_adapter_params": math.log10(largest)},
        "chance_is": task.kind.chance_is,
        "versions": {name: version(name) for name in ("torch", "transformers", "optuna", "msplora-search")},
    }


def _describe(settings: StudySettings, output: Path) -> None:
    """Write the study as it is searched, every default filled in."""
    try:
        (output / STUDY_FILE).write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    except OSError as error:
        raise InputError(f"{output / STUDY_FILE}: {error.strerror}; the output folder needs room") from None
