"""The data of full training: every row that is no test row, and the test part that a search never read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.errors import InputError
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.drawing import FEWEST, cut, shuffled
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.labels import metric_of
from msplora_search.tasks.parts import TEST_PART_SEED, Corpus, Part, require_two_each, set_aside
from msplora_search.tasks.task import Task, read_corpus, read_test
from msplora_search.text import printable, shown


@dataclass(frozen=True)
class FullParts:
    """What full training trains on, chooses its best checkpoint by, and is judged on in the end."""

    task: Task
    test: Part
    choosing: Part | None = None
    """Rows kept to choose a learning rate by, where one is to be chosen; the best checkpoint is not."""


def prepare_full(
    settings: TaskSettings,
    classes: tuple[str, ...],
    validation_share: float,
    processor: Any,
    choosing: bool = False,
) -> FullParts:
    """Read and split the data of a recipe. The split is the same for every seed, and splits no group.

    `choosing`: half of the validation rows is kept to choose a learning rate by.

    Raises InputError for data that cannot be used, and for classes other than the recipe's.
    """
    kind = kind_of(settings, processor)
    corpus = read_corpus(kind, settings.dataset)
    _require_classes(corpus, classes)
    pool, aside = set_aside(settings, len(corpus.truth), corpus.groups)
    kept_back = max(2, int(validation_share * len(pool)))
    if len(pool) < 2 * kept_back:
        raise InputError(
            f"{printable(corpus.source)}: {len(pool)} training rows are too few to keep {kept_back} of them back",
            "task.dataset",
        )
    order = shuffled(pool, corpus.groups, np.random.default_rng(TEST_PART_SEED + 1))
    validation, train = cut(order, corpus.groups, kept_back, spare=1)
    require_two_each(settings, train, validation)
    kept = None
    if choosing:
        kept, validation = cut(validation, corpus.groups, len(validation) // 2, spare=1)
        if min(len(kept), len(validation)) < FEWEST:
            raise InputError(
                f"{printable(corpus.source)}: {len(kept) + len(validation)} validation rows are too few to choose "
                "learning rates by half of them; raise training.validation_share, or leave out --rates",
                "training.validation_share",
            )
    other = read_test(kind, corpus)
    test = Part(corpus, aside) if other is None else Part(other, np.arange(len(other.truth)))
    if not len(test):
        raise InputError(
            f"{printable(corpus.source)}: no row is left to test on; full training needs task.dataset.test, or a "
            "larger task.dataset.test_share" + (" and at least three groups" if corpus.groups is not None else ""),
            "task.dataset.test_share",
        )
    task = Task(
        kind=kind,
        train=Part(corpus, train),
        validation=Part(corpus, validation),
        metric=metric_of(settings, corpus.classes),
    )
    return FullParts(task, test, None if kept is None else Part(corpus, kept))


def _require_classes(corpus: Corpus, classes: tuple[str, ...]) -> None:
    if corpus.classes != classes:
        raise InputError(
            f"{printable(corpus.source)}: has the classes {shown(list(corpus.classes))}, but the recipe "
            f"{shown(list(classes))}; train on the data that the search was made on",
            "task.dataset",
        )
