"""Makes a study ready for a worker: its facts, its baselines, and what became of trials whose process died."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import optuna

from msplora_search.design.costs import Cost
from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError
from msplora_search.files import write_whole
from msplora_search.proxy.workbench import Workbench
from msplora_search.search.baselines import Baseline
from msplora_search.search.healing import baselines_to_start, heal
from msplora_search.search.proposal import Proposer
from msplora_search.search.repeats import planned_repeats
from msplora_search.search.store.attributes import IN_SPACE, RESTART
from msplora_search.search.store.facts import part_told
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import STUDY_FILE
from msplora_search.search.store.sameness import FACTS, require_same_data
from msplora_search.search.warm_start import propose_first
from msplora_search.settings.document import dump
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.cache import FORMAT


def prepare_study(
    study: optuna.Study,
    workbench: Workbench,
    proposer: Proposer,
    baselines: list[Baseline],
    output: Path,
    crew: Crew,
) -> None:
    """Write down what is searched, settle what earlier processes left, enqueue the missing baselines, then what is
    carried over from earlier studies.

    Done anew by every worker, under a lock. Raises InputError where the study was begun with other data, or an
    earlier study cannot be read, StoredError where what is stored cannot be read.
    """
    require_same_data(workbench.task.train.corpus.fingerprint, study)
    describe(workbench.settings, output)
    study.set_user_attr(FACTS, _facts(workbench, proposer.space, baselines))
    heal(study, crew, workbench.task.chance)
    enqueue_baselines(study, baselines, proposer, crew)
    propose_first(study, workbench, proposer, baselines)


def enqueue_baselines(study: optuna.Study, baselines: Sequence[Baseline], proposer: Proposer, crew: Crew) -> None:
    """Enqueue the baselines that have no trial yet, and again those that failed in an earlier call."""
    missing = baselines_to_start(study, crew, [(b.name, b.learning_rate) for b in baselines])
    for baseline in baselines:
        key = (baseline.name, baseline.learning_rate)
        if key not in missing:
            continue
        failed = missing[key]
        choice = proposer.space.locate(baseline.pyramid)
        inside = choice is not None and proposer.space.contains_rate(baseline.learning_rate)
        study.enqueue_trial(
            proposer.parameters(choice, baseline.learning_rate) if choice is not None and inside else {},
            user_attrs={
                "baseline": baseline.name,
                "pyramid": baseline.pyramid.to_json(),
                "learning_rate": baseline.learning_rate,
                IN_SPACE: inside,
                **({} if failed is None else {RESTART: failed}),
            },
        )


def _facts(workbench: Workbench, space: SearchSpace, baselines: list[Baseline]) -> dict[str, object]:
    """What a report needs beside the trials."""
    task = workbench.task
    validation, judging = task.judges
    cost = workbench.settings.search.cost
    return {
        "settings": workbench.settings.model_dump(mode="json"),
        "data": task.train.corpus.fingerprint,
        "reading": FORMAT,
        **part_told(validation),
        "judging": None if judging is None else part_told(judging),
        "classes": list(task.classes),
        "class_counts": task.class_counts,
        "positive": None if task.positive is None else task.classes[task.positive],
        "train_examples": len(task.train),
        "validation_examples": len(task.validation),
        "note": task.note,
        "layers": workbench.layers,
        "configurations": space.size,
        "pyramids": space.pyramids,
        "baselines": len(baselines),
        "repeats": planned_repeats(baselines, workbench.settings.search),
        "proxy_steps": workbench.steps,
        "head_params": workbench.head_params,
        "lora_units": workbench.lora_units(),
        "precision": str(workbench.precision.dtype).removeprefix("torch."),
        "reference_point": {"metric": task.chance, cost.key: math.log10(_ceiling(workbench, space, baselines))},
        "chance_is": task.kind.chance_is,
        "versions": {name: version(name) for name in ("torch", "transformers", "optuna", "msplora-search")},
    }


def _ceiling(workbench: Workbench, space: SearchSpace, baselines: Sequence[Baseline]) -> int:
    """The cost at which hypervolume ends: the most parameters there are, or LoRA of one rank more than there is.

    So the dearest of the other costs, which many pyramids have alike, add something (see `Cost.beyond`).
    """
    if workbench.settings.search.cost is not Cost.PARAMS:
        ranks = [space.max_unrolled_rank, *(baseline.pyramid.unrolled_rank for baseline in baselines)]
        return workbench.dearest(workbench.settings.search.cost, max(ranks) + 1)
    largest = [workbench.adapter_params(baseline.pyramid) for baseline in baselines]
    return max([space.max_rank_units * workbench.params_per_rank(), *largest])


def describe(settings: StudySettings, output: Path) -> None:
    """Write the study as it is searched, every default filled in."""
    try:
        write_whole(output / STUDY_FILE, dump(settings.model_dump(mode="json", exclude_none=True)))
    except OSError as error:
        raise InputError(
            f"{output / STUDY_FILE}: {error.strerror or error}; the output folder needs room"
        ) from None
