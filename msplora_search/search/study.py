"""A search from start to end: create or resume, baselines first, then proposals until the budget is spent."""

from __future__ import annotations

import base64
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.baselines import Baseline, planned_baselines
from msplora_search.search.events import Listener, SearchEnded, SearchStarted
from msplora_search.search.history import History, is_interrupted, is_orphan, record_of
from msplora_search.search.objective import Objective, TrialFailedError, tell_values
from msplora_search.search.proposal import Proposer
from msplora_search.search.storage import (
    DATABASE,
    FACTS,
    answering,
    connect,
    default_url,
    open_study,
    require_same,
    require_same_data,
)
from msplora_search.settings.document import dump
from msplora_search.settings.models import StudySettings

STUDY_FILE = "study.yaml"
NSGA2_POPULATION = 12
"""Optuna's 50 would be random search for as long as most searches here last."""


def run_study(
    settings: StudySettings,
    output: Path | None = None,
    storage: str | None = None,
    listen: Listener = lambda _: None,
) -> Path:
    """Search `settings.space`; called again on the same output it goes on. Returns the output folder.

    Results are in the storage (SQLite under the output folder unless `storage` names an Optuna
    URL) from the moment they are measured, so a killed search loses at most the trial in training.

    Raises InputError for input that cannot be used; nothing on disk has changed then.
    """
    output = (output or Path("runs") / settings.name).resolve()
    _require_compatible(settings, output, storage)
    workbench = Workbench.load(settings)
    space = workbench.space()
    url = storage or default_url(output)
    with _output_lock(output), _quiet_optuna(), answering(url):
        study = open_study(settings, connect(url))
        require_same_data(workbench.task.fingerprint, study)
        study.sampler = _sampler(settings, trials=len(study.get_trials(deepcopy=False)))
        _describe(settings, output)
        baselines = planned_baselines(space, settings.search)
        study.set_user_attr(FACTS, _facts(workbench, space, baselines))
        _search(study, workbench, space, baselines, listen)
    return output


def _search(
    study: optuna.Study, workbench: Workbench, space: SearchSpace, baselines: list[Baseline], listen: Listener
) -> None:
    proposer = Proposer(space, every_dimension=workbench.settings.search.sampler != "brute-force")
    history = History(study)
    objective = Objective(workbench, proposer, history, listen)
    _heal(study, workbench)
    _enqueue_baselines(study, baselines, proposer)
    wanted = workbench.settings.search.trials
    started = SearchStarted(
        space=space,
        configurations=space.size,
        baselines=len(baselines),
        trials=wanted,
        proxy_steps=workbench.steps,
        records=tuple(history.records()),
        notes=(workbench.task.note,) if workbench.task.note else (),
    )
    listen(started)
    reason = f"{wanted} proposals are made"
    while history.waiting() or history.proposals() < wanted:
        if not history.waiting() and _exhausted(space, history):
            reason = f"the space is exhausted: all {space.size:,} configurations are measured"
            break
        study.optimize(objective, n_trials=1, catch=(TrialFailedError,))
    listen(SearchEnded(reason))


def _exhausted(space: SearchSpace, history: History) -> bool:
    """Whether every configuration of the space has a result."""
    size = space.size
    if size is None or (history.proposals() == 0 and len(history.records()) < size):
        return False
    known = {r.configuration for r in history.records() if r.state not in (State.RUNNING, State.DUPLICATE)}
    if len(known) < size:
        return False
    return sum(p is not None and space.contains(p) and space.contains_rate(rate) for p, rate in known) >= size


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


def _sampler(settings: StudySettings, trials: int) -> optuna.samplers.BaseSampler:
    """The sampler by its name, seeded so that a resumed search does not repeat its first draws."""
    seed = settings.search.seed + trials
    match settings.search.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed)
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "brute-force":
            return _Enumeration(seed=seed)


class _Enumeration(optuna.samplers.BruteForceSampler):
    """Optuna's enumeration, beside baselines from outside the space.

    Those have no parameters, which Optuna takes for a space that has changed.
    """

    @staticmethod
    def _populate_tree(tree: Any, trials: list[optuna.trial.FrozenTrial], params: dict[str, Any]) -> None:
        inside = [trial for trial in trials if trial.distributions]
        optuna.samplers.BruteForceSampler._populate_tree(tree, inside, params)


def _facts(workbench: Workbench, space: SearchSpace, baselines: list[Baseline]) -> dict[str, object]:
    """What a report needs beside the trials."""
    task = workbench.task
    largest = max(
        [space.max_rank_units * workbench.params_per_rank()]
        + [workbench.adapter_params(baseline.pyramid) for baseline in baselines]
    )
    return {
        "settings": workbench.settings.model_dump(mode="json"),
        "data": task.fingerprint,
        "labels": base64.b64encode(task.validation.own_labels.astype("<i4").tobytes()).decode(),
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
        "versions": {name: version(name) for name in ("torch", "transformers", "optuna", "msplora-search")},
    }


def _require_compatible(settings: StudySettings, output: Path, storage: str | None) -> None:
    """Refuse another study's results before anything is loaded or written."""
    if storage is None and not (output / DATABASE).is_file():
        return
    connected = connect(storage or default_url(output))
    if settings.name in optuna.get_all_study_names(connected):
        require_same(settings, optuna.load_study(study_name=settings.name, storage=connected))


def _describe(settings: StudySettings, output: Path) -> None:
    """Write the study as it is searched, every default filled in."""
    try:
        (output / STUDY_FILE).write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    except OSError as error:
        raise InputError(f"{output / STUDY_FILE}: {error.strerror}; the output folder needs room") from None


@contextmanager
def _output_lock(output: Path) -> Iterator[None]:
    """Make the output folder and keep other runs out of it."""
    lock = FileLock(output / ".lock")
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"--output {output}: another run is at work there; wait for it, or name another"
        ) from None
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror}; name a folder that can be written") from None
    with lock:
        yield


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own log lines and notices of experimental parts out of the output."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
