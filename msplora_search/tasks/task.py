"""A task as the proxy and full training see it: two parts of the data, and how a model is judged on them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import StudySettings
from msplora_search.settings.task import DatasetSource
from msplora_search.tasks.cache import cached_folder
from msplora_search.tasks.kind import Kind
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.labels import missing_classes
from msplora_search.tasks.metrics import Metric, Values, metric
from msplora_search.tasks.parts import Batch, Corpus, Part, Rows, proxy_rows
from msplora_search.tasks.tables import fingerprint, read_table

FORMAT = 3
"""Part of the cache key: to be raised when what is cached changes."""


@dataclass(frozen=True)
class Task:
    """What to train on, what to measure, and by what."""

    kind: Kind
    train: Part
    validation: Part
    metric: Metric
    note: str = ""
    """What a user should know of how the parts were made."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none where there are no classes."""
        return self.train.corpus.classes

    @property
    def chance(self) -> float:
        """The metric on the validation part of a model that has learned nothing."""
        return self.kind.chance(self.validation.truth)

    def collate(self, part: Part, rows: Rows) -> Batch:
        """The examples at `rows` of `part`, padded to the longest of them."""
        places = part.rows[rows]
        inputs, targets = self.kind.collate(part.corpus.examples, places, part.corpus.truth[places])
        return Batch(inputs, targets, rows)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss of a batch, in fp32."""
        return self.kind.loss(self.kind.outputs(model, batch), batch)

    def predict(self, model: nn.Module, batch: Batch) -> Values:
        """One number for each example of a batch."""
        predicted: Values = self.kind.predict(model, batch).cpu().numpy()
        return predicted

    def evaluate(self, predictions: Values, rung: float, step: int, loss: float) -> Evaluation:
        """Judge predictions for the whole validation part, in its order."""
        return evaluate(self.metric, self.validation.truth, predictions, rung, step, loss)


def evaluate(judge: Metric, truth: Values, predictions: Values, rung: float, step: int, loss: float) -> Evaluation:
    """Judge predictions for a whole part, in its order; `loss` is the training loss up to then."""
    return Evaluation(
        rung=rung,
        step=step,
        metric=judge.score(truth, predictions),
        metric_se=judge.standard_error(truth, predictions),
        loss=loss,
        predictions=predictions,
        qualities=judge.qualities(truth, predictions),
    )


def prepare(settings: StudySettings, processor: Any) -> Task:
    """Read and split the data of a study; what was read before comes from the cache when it can.

    Raises InputError for a missing column, rows that cannot be used, a data set that is too small.
    """
    kind = kind_of(settings.task, processor)
    corpus = read_corpus(kind, settings.task.dataset)
    train, validation, notes = proxy_rows(settings, len(corpus.truth))
    if corpus.classes and len(set(corpus.truth[train].tolist())) < 2:
        raise InputError(
            f"{corpus.source}: the {len(train)} training examples hold a single class; raise proxy.train_examples"
        )
    notes += [corpus.note] if corpus.note else []
    if corpus.classes:
        notes += missing_classes(corpus.classes, training=corpus.truth[train], validation=corpus.truth[validation])
    return Task(
        kind=kind.fitted(corpus.truth[train]),
        train=Part(corpus, train),
        validation=Part(corpus, validation),
        metric=metric(settings.task.metric),
        note="; ".join(notes),
    )


def read_corpus(kind: Kind, source: DatasetSource, classes: tuple[str, ...] | None = None) -> Corpus:
    """Read a table, or take it from the cache; with `classes`, its labels must be among them.

    Raises InputError for a missing column, and for rows that the kind of task cannot use.
    """

    def build(folder: Path) -> None:
        table = read_table(source)
        content = kind.read(table, classes)
        content.examples.save(folder)
        np.save(folder / "truth.npy", content.truth)
        described = {"classes": content.classes, "source": table.source, "note": content.note}
        (folder / "description.json").write_text(json.dumps(described))

    parts = [FORMAT, kind.settings.kind, fingerprint(source), kind.cache_key(source), classes]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    folder = cached_folder(f"tokens/{key}", build)
    described = json.loads((folder / "description.json").read_text())
    return Corpus(
        examples=kind.load(folder),
        truth=np.load(folder / "truth.npy", mmap_mode="r"),
        classes=tuple(described["classes"]),
        source=described["source"],
        fingerprint=key,
        note=described["note"],
    )
