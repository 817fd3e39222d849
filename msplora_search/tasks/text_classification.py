"""Text classification: one or two text columns, any number of classes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import DatasetSource, StudySettings, TaskSettings
from msplora_search.tasks.cache import cached_folder
from msplora_search.tasks.labels import class_labels, known_labels
from msplora_search.tasks.metrics import Metric, metric
from msplora_search.tasks.tables import fingerprint, read_table, texts
from msplora_search.tasks.tokens import Tokens, tokenise

TEST_PART_SEED = 2503_21838
"""Fixed: which rows are the test part may depend on nothing that a user varies."""
FORMAT = 2
"""Part of the cache key: to be raised when what is cached changes."""


@dataclass(frozen=True)
class Part:
    """Some examples of a tokenised data set."""

    tokens: Tokens
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    """Which examples of `tokens` and `labels`, in order."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def own_labels(self) -> NDArray[np.int64]:
        """The labels of these examples, in order."""
        return np.asarray(self.labels[self.rows])


@dataclass(frozen=True)
class Batch:
    """Padded inputs for the model, and what they should give. `rows` are places within the part."""

    inputs: dict[str, Tensor]
    labels: Tensor
    rows: NDArray[np.int64]

    def to(self, device: torch.device) -> Batch:
        """The same on `device`; itself where it is there."""
        if self.labels.device == device:
            return self
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(inputs, self.labels.to(device, non_blocking=True), self.rows)


@dataclass(frozen=True)
class TextClassification:
    """The proxy's two parts of the training split, and how a model is judged on them."""

    train: Part
    validation: Part
    classes: tuple[str, ...]
    metric: Metric
    pad_token_id: int
    source: str
    fingerprint: str
    """Changes when the rows, the columns or the tokenizer do."""
    note: str = ""
    """What a user should know of how the parts were made."""

    @property
    def chance(self) -> float:
        """The metric of always predicting the most frequent class of the validation part."""
        labels = self.validation.own_labels
        return self.metric.score(labels, np.full_like(labels, np.bincount(labels).argmax()))

    def collate(self, part: Part, rows: NDArray[np.int64]) -> Batch:
        """Pad the examples at `rows` of `part` to the longest of them: inputs (batch, tokens)."""
        tokens = part.tokens
        spans = [(int(tokens.offsets[i]), int(tokens.offsets[i + 1])) for i in part.rows[rows]]
        longest = max(stop - start for start, stop in spans)
        ids = np.full((len(spans), longest), self.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(spans), longest), dtype=np.int64)
        types = np.zeros((len(spans), longest), dtype=np.int64)
        for i, (start, stop) in enumerate(spans):
            ids[i, : stop - start] = tokens.ids[start:stop]
            mask[i, : stop - start] = 1
            if tokens.types is not None:
                types[i, : stop - start] = tokens.types[start:stop]
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if tokens.types is not None:
            inputs["token_type_ids"] = torch.from_numpy(types)
        return Batch(inputs, torch.from_numpy(part.labels[part.rows[rows]]), rows)

    @staticmethod
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch, in fp32."""
        return F.cross_entropy(model(**batch.inputs).logits.float(), batch.labels)

    @staticmethod
    def predict(model: nn.Module, batch: Batch) -> NDArray[np.int64]:
        """The most likely class of each example of a batch."""
        predicted: NDArray[np.int64] = model(**batch.inputs).logits.argmax(dim=-1).cpu().numpy()
        return predicted

    def evaluate(self, predictions: NDArray[np.int64], rung: float, step: int, loss: float) -> Evaluation:
        """Judge predictions for the whole validation part, in its order."""
        labels = self.validation.own_labels
        return Evaluation(
            rung=rung,
            step=step,
            metric=self.metric.score(labels, predictions),
            metric_se=self.metric.standard_error(labels, predictions),
            loss=loss,
            predictions=predictions,
            right=predictions == labels,
        )


@dataclass(frozen=True)
class Corpus:
    """All rows of one table, tokenised."""

    tokens: Tokens
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    source: str
    fingerprint: str
    """Changes when the rows, the columns or the tokenizer do."""


def read_corpus(
    task: TaskSettings, source: DatasetSource, tokenizer: Any, classes: tuple[str, ...] | None = None
) -> Corpus:
    """Read and tokenise a table, or take it from the cache; with `classes`, its labels must be among them.

    Raises InputError for a missing column and for labels that are no classes.
    """

    def build(folder: Path) -> None:
        table = read_table(source)
        columns = texts(table, task.text)
        if classes is None:
            labels, names = class_labels(table, task.label)
        else:
            labels, names = known_labels(table, task.label, classes), classes
        tokenise(tokenizer, columns, task.max_length).save(folder)
        np.save(folder / "labels.npy", labels)
        (folder / "description.json").write_text(json.dumps({"classes": names, "source": table.source}))

    key = _key(task, source, tokenizer, classes)
    folder = cached_folder(f"tokens/{key}", build)
    described = json.loads((folder / "description.json").read_text())
    labels = np.load(folder / "labels.npy", mmap_mode="r")
    return Corpus(Tokens.load(folder), labels, tuple(described["classes"]), described["source"], key)


def prepare(settings: StudySettings, tokenizer: Any) -> TextClassification:
    """Read, tokenise and split the data of a study; tokenised data comes from the cache when it can.

    Raises InputError for a missing column, labels that are no classes, a data set that is too small.
    """
    corpus = read_corpus(settings.task, settings.task.dataset, tokenizer)
    train, validation, note = _split(settings, len(corpus.labels))
    if len(set(corpus.labels[train].tolist())) < 2:
        raise InputError(
            f"{corpus.source}: the {len(train)} training examples hold a single class; raise proxy.train_examples"
        )
    pad = tokenizer.pad_token_id
    return TextClassification(
        train=Part(corpus.tokens, corpus.labels, train),
        validation=Part(corpus.tokens, corpus.labels, validation),
        classes=corpus.classes,
        metric=metric(settings.task.metric),
        pad_token_id=0 if pad is None else pad,
        source=corpus.source,
        fingerprint=corpus.fingerprint,
        note=note,
    )


def _key(task: TaskSettings, source: DatasetSource, tokenizer: Any, classes: tuple[str, ...] | None) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    parts = [FORMAT, fingerprint(source), task.text, task.label, task.max_length, words, classes]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _split(settings: StudySettings, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Two parts of the training split, drawn by `search.seed`; both shrink where there are too few rows."""
    wanted_train, wanted_validation = settings.proxy.train_examples, settings.proxy.validation_examples
    pool, aside = set_aside(settings.task, rows)
    share = min(1.0, len(pool) / (wanted_train + wanted_validation))
    train, validation = int(wanted_train * share), int(wanted_validation * share)
    if min(train, validation) < 2:
        raise InputError(
            f"{settings.task.dataset.path}: {rows} rows are too few; the proxy needs at least two examples "
            "to train on and two to validate on"
        )
    order = np.random.default_rng(settings.search.seed).permutation(pool)
    notes = [f"{len(aside):,} of {rows:,} rows are set aside for the test of full training"] if len(aside) else []
    if share < 1:
        notes.append(f"the proxy trains on {train:,} of the rest and validates on {validation:,}")
    return order[validation : validation + train], order[:validation], "; ".join(notes)


def set_aside(task: TaskSettings, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and the test rows among `rows`; the same for every seed of a search.

    Nothing is set aside where the data set names a test part of its own.
    """
    order = np.random.default_rng(TEST_PART_SEED).permutation(rows)
    test = 0 if task.dataset.test else int(task.dataset.test_share * rows)
    return order[test:], order[:test]
