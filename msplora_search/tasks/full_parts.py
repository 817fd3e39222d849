"""The data of full training: every row that is no test row, and the test part that a search never read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msplora_search.errors import InputError
from msplora_search.settings.models import DatasetSource, TaskSettings
from msplora_search.tasks.metrics import metric
from msplora_search.tasks.text_classification import (
    TEST_PART_SEED,
    Corpus,
    Part,
    TextClassification,
    read_corpus,
    set_aside,
)


@dataclass(frozen=True)
class FullParts:
    """What full training trains on, chooses its best checkpoint by, and is judged on in the end."""

    task: TextClassification
    test: Part


def prepare_full(
    task: TaskSettings, classes: tuple[str, ...], validation_share: float, tokenizer: Any
) -> FullParts:
    """Read, tokenise and split the data of a recipe. The split is the same for every seed.

    Raises InputError for data that cannot be used, and for classes other than the recipe's.
    """
    corpus = read_corpus(task, task.dataset, tokenizer)
    _require_classes(corpus, classes)
    pool, aside = set_aside(task, len(corpus.labels))
    order = np.random.default_rng(TEST_PART_SEED + 1).permutation(pool)
    validation = max(2, int(validation_share * len(pool)))
    if len(pool) < 2 * validation:
        raise InputError(
            f"{corpus.source}: {len(pool)} training rows are too few to keep {validation} of them back"
        )
    if task.dataset.test is None:
        test = Part(corpus.tokens, corpus.labels, aside)
    else:
        other = read_corpus(task, _test_source(task.dataset, task.dataset.test), tokenizer, classes)
        test = Part(other.tokens, other.labels, np.arange(len(other.labels)))
    if not len(test):
        raise InputError("task.dataset.test_share is 0 and no test part is named; full training is judged on one")
    pad = tokenizer.pad_token_id
    return FullParts(
        TextClassification(
            train=Part(corpus.tokens, corpus.labels, order[validation:]),
            validation=Part(corpus.tokens, corpus.labels, order[:validation]),
            classes=classes,
            metric=metric(task.metric),
            pad_token_id=0 if pad is None else pad,
            source=corpus.source,
            fingerprint=corpus.fingerprint,
        ),
        test,
    )


def _test_source(source: DatasetSource, test: str) -> DatasetSource:
    """A test part is a file of its own, or another split of the same data set."""
    if Path(test).suffix:
        return source.model_copy(update={"path": test, "name": None, "test": None})
    return source.model_copy(update={"split": test, "test": None})


def _require_classes(corpus: Corpus, classes: tuple[str, ...]) -> None:
    if corpus.classes != classes:
        raise InputError(
            f"{corpus.source}: has the classes {list(corpus.classes)}, but the recipe {list(classes)}; "
            "train on the data that the search was made on"
        )
