"""Examples of a data set, parts of them, and batches; and which rows are whose."""

from __future__ import annotations

from collections.abc import Iterator
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
from msplora_search.tasks.drawing import FEWEST, cut, shuffled, within
from msplora_search.tasks.language import NOT_ASKED
from msplora_search.tasks.metrics import Values
from msplora_search.text import printable, shown

TEST_PART_SEED = 2503_21838
"""Fixed: which rows are the test part may depend on nothing that a user varies."""
FEWEST_JUDGING = 200
"""Rows to be left over for a judging part; on so few an accuracy of 0.8 has a standard error of 0.03."""
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
    groups: NDArray[np.int64] | None = None
    """(rows,) index of each row's group, where a column says which rows belong together."""
    group_keys: NDArray[np.uint64] | None = None
    """(groups,) what a group is known by in another table, see `reading.groups.load_groups`."""


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

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Those of these rows, in order, as the corpus counts them; None where no column names groups."""
        return None if self.corpus.groups is None else np.asarray(self.corpus.groups[self.rows])


@dataclass(frozen=True)
class Batch:
    """Padded inputs for the model, and what they should give. `rows` are places within the part."""

    inputs: dict[str, Tensor]
    targets: Tensor
    """(batch,) classes or numbers; (batch, tokens) tokens, -100 where none is asked for."""
    rows: Rows

    def __len__(self) -> int:
        """Examples."""
        return len(self.rows)

    @property
    def asked(self) -> int:
        """What the mean loss is a mean over: the examples, or the tokens that are asked for."""
        return len(self) if self.targets.dim() == 1 else int((self.targets != NOT_ASKED).sum())

    def parts(self, size: int) -> Iterator[Batch]:
        """Itself in pieces of up to `size` examples."""
        for start in range(0, len(self), size):
            of = slice(start, start + size)
            inputs = {name: tensor[of] for name, tensor in self.inputs.items()}
            yield Batch(inputs, self.targets[of], self.rows[of])

    def to(self, device: torch.device) -> Batch:
        """The same on `device`; itself where it is there."""
        if self.targets.device == device:
            return self
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(inputs, self.targets.to(device, non_blocking=True), self.rows)


@dataclass(frozen=True)
class ProxyRows:
    """Which rows of the training split are whose in a search. No two parts share a row, or a group."""

    train: Rows
    validation: Rows
    judging: Rows
    """No choice reads them; none where too few are left over."""
    aside: Rows
    """For the test of full training."""
    notes: tuple[str, ...]
    """What a user should know of the parts."""


def proxy_rows(settings: StudySettings, rows: int, groups: Rows | None = None) -> ProxyRows:
    """The parts of a search among `rows` rows, drawn by `search.seed`; `groups`: (rows,), see `Corpus`.

    Training and validation part shrink where there are too few rows. Raises InputError where that, or whole
    groups, leave one of them fewer than two.
    """
    wanted_train, wanted_validation = settings.proxy.train_examples, settings.proxy.validation_examples
    pool, aside = set_aside(settings.task, rows, groups)
    share = min(1.0, len(pool) / (wanted_train + wanted_validation))
    wanted_train, wanted_validation = int(wanted_train * share), int(wanted_validation * share)
    if min(wanted_train, wanted_validation) < FEWEST:
        raise InputError(
            f"{printable(settings.task.dataset.path)}: {rows} rows are too few; the proxy needs at least two "
            "examples to train on and two to validate on",
            "task.dataset",
        )
    order = shuffled(pool, groups, np.random.default_rng(settings.search.seed))
    validation, order = cut(order, groups, wanted_validation, spare=1)
    train, left = cut(order, groups, wanted_train)
    require_two_each(settings.task, train, validation)
    judging, note = _judging(left, groups, min(settings.proxy.judging_examples, len(validation)))
    notes = []
    if len(aside):
        told = f"{len(aside):,} of {rows:,} rows are set aside for the test of full training"
        notes.append(told + groups_told(aside, groups))
    if share < 1 or groups is not None:
        trains = f"trains on {len(train):,} of the rest{groups_told(train, groups)}"
        notes.append(f"the proxy {trains} and validates on {len(validation):,}{groups_told(validation, groups)}")
    return ProxyRows(train, validation, judging, aside, tuple(filter(None, [*notes, note])))


def _judging(left: Rows, groups: Rows | None, most: int) -> tuple[Rows, str]:
    """At most `most` of the rows that are left over, and what is to be told of them."""
    found = within(left, groups, most)
    if not most:
        return found, ""
    if not len(left):
        return left, "no row is left over for a judging part"
    if len(left) < FEWEST_JUDGING:
        count = "1 row is" if len(left) == 1 else f"{len(left)} rows are"
        return left[:0], f"{count} left over, too few for a judging part, which needs {FEWEST_JUDGING}"
    if len(found) < min(FEWEST_JUDGING, (most + 1) // 2):
        return left[:0], f"the groups left over are too large for a judging part of at most {most:,} rows"
    return found, f"the judging part, which no choice reads, has {len(found):,} rows{groups_told(found, groups)}"


def set_aside(task: TaskSettings, rows: int, groups: Rows | None = None) -> tuple[Rows, Rows]:
    """The rows to train on and the test rows among `rows`; the same for every seed of a search.

    Nothing is set aside where the data set names a test part of its own. Of groups at least two are left to train
    and validate on.
    """
    order = shuffled(np.arange(rows), groups, np.random.default_rng(TEST_PART_SEED))
    test, pool = cut(order, groups, 0 if task.dataset.test else int(task.dataset.test_share * rows), spare=2)
    return pool, test


def require_two_each(task: TaskSettings, train: Rows, validation: Rows) -> None:
    """Raise InputError where whole groups leave a part without examples, as one group of all rows does."""
    if min(len(train), len(validation)) < FEWEST:
        raise InputError(
            f"{printable(task.dataset.path)}: no part splits a group of column {shown(task.group)}, which leaves "
            f"{len(train):,} examples to train on and {len(validation):,} to validate on; each part needs two or "
            "more, in groups of its own",
            "task.group",
        )


def shared_told(corpus: Corpus, test: Corpus) -> list[str]:
    """A note on groups of a test part that are in the training data too, where there are any."""
    if corpus.group_keys is None or test.group_keys is None:
        return []
    shared = len(np.intersect1d(corpus.group_keys, test.group_keys))
    every = f"{len(test.group_keys):,} groups of the test part"
    return [f"{shared:,} of the {every} are in the training data too"] if shared else []


def groups_told(rows: Rows, groups: Rows | None) -> str:
    """How many groups the rows are of, such as ` (312 groups)`; empty where no column names groups."""
    if groups is None:
        return ""
    count = len(np.unique(groups[rows]))
    return " (1 group)" if count == 1 else f" ({count:,} groups)"
