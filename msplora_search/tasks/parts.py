"""Examples of a data set, parts of them, and batches; and which rows are whose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.errors import InputError
from msplora_search.settings.models import StudySettings
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.metrics import Values
from msplora_search.text import printable

TEST_PART_SEED = 2503_21838
"""Fixed: which rows are the test part may depend on nothing that a user varies."""
Rows = NDArray[np.int64]


class Examples(Protocol):
    """Inputs of all rows of a table, in the form that a kind of task keeps in the cache."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Size of each example: tokens, where it is text."""

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`, from where the kind of task maps them into memory."""


@dataclass(frozen=True)
class Corpus:
    """All rows of one table, ready for batches."""

    examples: Examples
    truth: Values
    """What the metric compares predictions with, one number a row."""
    classes: tuple[str, ...]
    """Names of the classes in the order of their indices; none where there are no classes."""
    source: str
    fingerprint: str
    """Changes when the rows, the columns, or what reads them does."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the rows were read."""


@dataclass(frozen=True)
class Part:
    """Some rows of a corpus, in order."""

    corpus: Corpus
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def truth(self) -> Values:
        """That of these rows, in order."""
        return np.asarray(self.corpus.truth[self.rows])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Those of these rows, in order."""
        return np.asarray(self.corpus.examples.lengths[self.rows])


@dataclass(frozen=True)
class Batch:
    """Padded inputs for the model, and what they should give. `rows` are places within the part."""

    inputs: dict[str, Tensor]
    targets: Tensor
    """(batch,) classes or numbers; (batch, tokens) tokens, -100 where none is asked for."""
    rows: Rows

    def to(self, device: torch.device) -> Batch:
        """The same on `device`; itself where it is there."""
        if self.targets.device == device:
            return self
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(inputs, self.targets.to(device, non_blocking=True), self.rows)


def proxy_rows(settings: StudySettings, rows: int) -> tuple[Rows, Rows, list[str]]:
    """Training and validation rows of a proxy, drawn by `search.seed`, and notes on them.

    Both shrink where there are too few rows. Raises InputError where that leaves fewer than two.
    """
    wanted_train, wanted_validation = settings.proxy.train_examples, settings.proxy.validation_examples
    pool, aside = set_aside(settings.task, rows)
    share = min(1.0, len(pool) / (wanted_train + wanted_validation))
    train, validation = int(wanted_train * share), int(wanted_validation * share)
    if min(train, validation) < 2:
        raise InputError(
            f"{printable(settings.task.dataset.path)}: {rows} rows are too few; the proxy needs at least two "
            "examples to train on and two to validate on",
            "task.dataset",
        )
    order = np.random.default_rng(settings.search.seed).permutation(pool)
    notes = [f"{len(aside):,} of {rows:,} rows are set aside for the test of full training"] if len(aside) else []
    if share < 1:
        notes.append(f"the proxy trains on {train:,} of the rest and validates on {validation:,}")
    return order[validation : validation + train], order[:validation], notes


def set_aside(task: TaskSettings, rows: int) -> tuple[Rows, Rows]:
    """The rows to train on and the test rows among `rows`; the same for every seed of a search.

    Nothing is set aside where the data set names a test part of its own.
    """
    order = np.random.default_rng(TEST_PART_SEED).permutation(rows)
    test = 0 if task.dataset.test else int(task.dataset.test_share * rows)
    return order[test:], order[:test]
