"""A task as the proxy and full training see it: two parts of the data, and how a model is judged on them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.results.records import Evaluation, Measure
from msplora_search.settings.models import StudySettings
from msplora_search.settings.task import DatasetSource
from msplora_search.tasks.cache import FORMAT, cached_folder
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.kind import Fits, Joint, Kind, Refers, Settles
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.labels import (
    class_counts,
    classes_told,
    counted,
    metric_of,
    missing_classes,
    positive_of,
)
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Corpus, Part, Rows, groups_told, proxy_rows, shared_told
from msplora_search.tasks.reading.groups import load_groups, save_groups
from msplora_search.tasks.reading.local_files import FIELD
from msplora_search.tasks.reading.tables import TEST_FIELD, fingerprint, read_table, source_of_test
from msplora_search.text import printable, shown


@dataclass(frozen=True)
class Task:
    """What to train on, what to measure, and by what."""

    kind: Kind
    train: Part
    validation: Part
    metric: Metric
    judging: Part | None = None
    """What the chosen are judged on, and no choice is made by; None where too few rows are left for it."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the rows were read and the parts made."""

    @property
    def note(self) -> str:
        """The notes in one line."""
        return "; ".join(self.notes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none where there are no classes."""
        return self.train.corpus.classes

    @property
    def chance(self) -> float:
        """The metric on the validation part of a model that has learned nothing."""
        return self.kind.chance(self.validation.truth, self.metric)

    @property
    def is_joint(self) -> bool:
        """Whether examples are trained on, and judged, only together; see `kind.Joint`."""
        return isinstance(self.kind, Joint) and self.kind.is_joint

    @property
    def positive(self) -> int | None:
        """Index of the class whose f1 is measured, where there is one."""
        return positive_of(self.kind.settings, self.classes)

    @property
    def class_counts(self) -> list[int]:
        """How many examples each class has among all rows of the data; none where examples have no class."""
        return class_counts(self.train.corpus.truth, self.classes)

    def collate(self, part: Part, rows: Rows) -> Batch:
        """The examples at `rows` of `part`, padded to the longest of them."""
        places = part.rows[rows]
        inputs, targets = self.kind.collate(part.corpus.examples, places, part.corpus.truth[places])
        return Batch(inputs, targets, rows)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss of a batch, in fp32."""
        batch = self.referred(model, batch)
        return self.kind.loss(self.kind.outputs(model, batch), batch)

    def referred(self, model: nn.Module, batch: Batch) -> Batch:
        """The batch as its kind's `loss` and `predict` want it, see `kind.Refers`."""
        return self.kind.referred(model, batch) if isinstance(self.kind, Refers) else batch

    def predict(self, model: nn.Module, batch: Batch) -> Values:
        """What the kind of task predicts for each example of a batch, (batch,) or (batch, numbers)."""
        predicted: Values = self.kind.predict(model, self.referred(model, batch)).cpu().numpy()
        return predicted

    @property
    def judges(self) -> tuple[Judge, Judge | None]:
        """Those of the validation and of the judging part."""
        return self.judge(self.validation), None if self.judging is None else self.judge(self.judging)

    def judge(self, part: Part) -> Judge:
        """What measures predictions for `part`."""
        return Judge(self.metric, part.truth, part.groups)

    def measure(self, part: Part, predictions: Values) -> Measure:
        """The metric of what `predict` gave for the examples of a part, or for the first of them, in order."""
        if isinstance(self.kind, Settles):
            rows = part.rows[: len(predictions)]
            predictions = self.kind.settled(part.corpus.examples, rows, predictions)
        return self.judge(part).measure(predictions)

    def evaluate(
        self, predictions: Values, rung: float, step: int, loss: float, judging: Values | None = None
    ) -> Evaluation:
        """Judge predictions for the validation part, and at the end those for the judging part, in their order.

        `loss` is the training loss up to then.
        """
        judged = None if self.judging is None or judging is None else self.measure(self.judging, judging)
        measured = self.measure(self.validation, predictions)
        return Evaluation(**vars(measured), rung=rung, step=step, loss=loss, judged=judged)


def prepare(settings: StudySettings, processor: Any) -> Task:
    """Read and split the data of a study; what was read before comes from the cache when it can.

    A test part that the data set names is read too, though no trial sees it: what is wrong with it would
    otherwise be found when the search is over. Where there will be none, a note says so: a search needs no test
    part, and a recipe can name one.

    Raises InputError for a missing column, rows that cannot be used, a data set that is too small.
    """
    kind = kind_of(settings.task, processor)
    corpus = read_corpus(kind, settings.task.dataset)
    judge = metric_of(settings.task, corpus.classes)
    drawn = proxy_rows(settings, len(corpus.truth), corpus.groups)
    train, validation = drawn.train, drawn.validation
    require_classes(corpus, train)
    test = read_test(kind, corpus)
    notes = [*corpus.notes, *drawn.notes]
    notes += missing_classes(corpus.classes, training=corpus.truth[train], validation=corpus.truth[validation])
    if test is not None:
        told = groups_told(np.arange(len(test.truth)), test.groups)
        notes.append(f"the test part of full training has {len(test.truth):,} rows{told}")
        notes += shared_told(corpus, test)
    elif not len(drawn.aside):
        notes.append("there is no test part, which full training needs: see task.dataset.test and test_share")
    task = Task(
        kind=kind.fitted(corpus.truth[train]) if isinstance(kind, Fits) else kind,
        train=Part(corpus, train),
        validation=Part(corpus, validation),
        metric=judge,
        judging=Part(corpus, drawn.judging) if len(drawn.judging) else None,
    )
    if task.classes:
        notes.insert(len(corpus.notes), classes_told(task.classes, task.class_counts, task.positive))
    return replace(task, notes=tuple(notes))


def require_classes(corpus: Corpus, train: Rows) -> None:
    """Raise InputError where the training examples, at `train`, all have the same class or the same classes."""
    if counted(corpus.truth, corpus.classes) and len(np.unique(corpus.truth[train], axis=0)) < 2:
        raise InputError(
            f"{printable(corpus.source)}: the {len(train)} training examples hold a single class; "
            "raise proxy.train_examples",
            "proxy.train_examples",
        )


def read_test(kind: Kind, corpus: Corpus) -> Corpus | None:
    """The test part that the data set of `corpus` names; None where it names none.

    Raises InputError where it cannot be used, has other classes, or is the data themselves.
    """
    named = kind.settings.dataset
    source = source_of_test(named)
    if source is None:
        return None
    if fingerprint(source, kind.settings.columns, TEST_FIELD) == fingerprint(named, kind.settings.columns):
        raise InputError(
            f"{TEST_FIELD} is {shown(named.test)}, which holds the rows that are trained on; name other rows, or "
            "leave it out for a share of them",
            TEST_FIELD,
        )
    return read_corpus(kind, source, corpus.classes or None, TEST_FIELD)


def read_corpus(
    kind: Kind, source: DatasetSource, classes: tuple[str, ...] | None = None, field: str = FIELD
) -> Corpus:
    """Read a table, or take it from the cache; with `classes`, its labels must be among them.

    `field`: the setting that names it.

    Raises InputError for a missing column, and for rows that the kind of task cannot use.
    """
    wanted, group = kind.settings.columns, kind.settings.group

    def build(folder: Path) -> None:
        table = read_table(source, wanted, field)
        read = [*table.notes]
        if group is not None:
            read.append(save_groups(table, group, folder))
        content = kind.read(table, classes)
        content.examples.save(folder)
        np.save(folder / "truth.npy", content.truth)
        notes = [note for note in (*read, content.note) if note]
        described = {"classes": content.classes, "source": table.source, "notes": notes}
        (folder / "description.json").write_text(json.dumps(described))

    grouped: list[Any] = [] if group is None else [{"group": group}]
    rows = [fingerprint(source, wanted, field), kind.cache_key(source)]
    parts = [FORMAT, kind.settings.kind, *rows, classes, *grouped]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    folder = cached_folder(f"tokens/{key}", build)
    described = json.loads((folder / "description.json").read_text())
    groups, keys = (None, None) if group is None else load_groups(folder)
    return Corpus(
        examples=kind.load(folder),
        truth=np.load(folder / "truth.npy", mmap_mode="r"),
        classes=tuple(described["classes"]),
        source=described["source"],
        fingerprint=key,
        notes=tuple(described["notes"]),
        groups=groups,
        group_keys=keys,
    )
