"""Length-bucketed batches, made once and used by every trial."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.settings.models import ProxySettings
from msplora_search.tasks.text_classification import Batch, Part, TextClassification

BUCKET_BATCHES = 32
"""Batches that are cut from one shuffled bucket sorted by length."""
EVALUATION_TOKENS = 8192
"""Tokens, padding included, of an evaluation batch."""


@dataclass(frozen=True)
class ProxyBatches:
    """The batches of one proxy: the same examples in the same order for every trial."""

    training: tuple[Batch, ...]
    validation: tuple[Batch, ...]

    @classmethod
    def of(cls, task: TextClassification, proxy: ProxySettings, seed: int) -> ProxyBatches:
        """Batches for `proxy.epochs` epochs, which may end within one, and for one evaluation."""
        lengths = task.train.tokens.lengths[task.train.rows]
        steps = max(1, math.ceil(proxy.epochs * len(task.train) / proxy.batch_size))
        order: list[NDArray[np.int64]] = []
        epoch = 0
        while len(order) < steps:
            order += shuffled_buckets(lengths, proxy.batch_size, np.random.default_rng([seed, epoch]))
            epoch += 1
        training = tuple(task.collate(task.train, rows) for rows in order[:steps])
        return cls(training, tuple(evaluation_batches(task, task.validation)))

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


def evaluation_batches(task: TextClassification, part: Part) -> Iterator[Batch]:
    """All examples of `part` once, by length, in batches of at most `EVALUATION_TOKENS` tokens."""
    lengths = part.tokens.lengths[part.rows]
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= EVALUATION_TOKENS:
            stop += 1
        yield task.collate(part, order[start:stop])
        start = stop
