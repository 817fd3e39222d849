"""Length-bucketed batches, laid out once a seed and used by every trial of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.settings.models import ProxySettings
from msplora_search.tasks.parts import Batch, Part
from msplora_search.tasks.task import Task

BUCKET_BATCHES = 32
"""Batches that are cut from one shuffled bucket sorted by length."""


@dataclass(frozen=True)
class Batches(Sequence[Batch]):
    """Batches of a part. Only their rows are kept; each is padded when it is its turn."""

    task: Task
    part: Part
    rows: tuple[NDArray[np.int64], ...]
    """Places within the part, one array a batch."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> Batches: ...
    def __getitem__(self, place: int | slice) -> Batch | Batches:
        if isinstance(place, slice):
            return replace(self, rows=self.rows[place])
        return self.task.collate(self.part, self.rows[place])


@dataclass(frozen=True)
class ProxyBatches:
    """The batches of one proxy: the same examples in the same order for every trial of a seed."""

    training: Batches
    early: Batches
    """Of the first validation examples, for the rungs before the end."""
    validation: Batches
    judging: Batches | None = None
    """Of the part that no choice reads, where there is one."""

    @classmethod
    def of(cls, task: Task, proxy: ProxySettings, seed: int) -> ProxyBatches:
        """Batches for `proxy.epochs` epochs, which may end within one, and for an evaluation of each part.

        Where examples are judged only together, rungs before the end look at the whole part too. Raises InputError
        where they are trained on only together, and each would be alone.
        """
        if task.is_joint and proxy.batch_size < 2:
            raise InputError(
                "proxy.batch_size is 1; the examples of a batch are one another's negatives, so it must be at "
                "least 2",
                "proxy.batch_size",
            )
        lengths = task.train.lengths
        steps = max(1, math.ceil(proxy.epochs * len(task.train) / proxy.batch_size))
        order: list[NDArray[np.int64]] = []
        epoch = 0
        while len(order) < steps:
            order += shuffled_buckets(lengths, proxy.batch_size, np.random.default_rng([seed, epoch]))
            epoch += 1

        def evaluated(part: Part, first: int | None = None) -> Batches:
            return Batches(
                task, part, tuple(evaluation_batches(part.lengths[:first], task.kind.evaluation_tokens))
            )

        return cls(
            training=Batches(task, task.train, tuple(order[:steps])),
            early=evaluated(task.validation, None if task.is_joint else proxy.early_examples),
            validation=evaluated(task.validation),
            judging=None if task.judging is None else evaluated(task.judging),
        )

    @property
    def steps(self) -> int:
        """Training steps of the whole proxy."""
        return len(self.training)


def shuffled_buckets(
    lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """One epoch of batches of similar length: every example once, batches in random order."""
    order = generator.permutation(len(lengths))
    bucket = batch_size * BUCKET_BATCHES
    batches = []
    for start in range(0, len(order), bucket):
        rows = order[start : start + bucket]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def evaluation_batches(lengths: NDArray[np.int64], most_tokens: int) -> Iterator[NDArray[np.int64]]:
    """All examples once, by length, in batches of at most `most_tokens` tokens, padding included."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= most_tokens:
            stop += 1
        yield order[start:stop]
        start = stop
