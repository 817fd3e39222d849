"""A column whose equal values belong together: how it is read, and that no part of a real task splits a group."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from msplora_search.errors import InputError
from msplora_search.settings import StudySettings
from msplora_search.settings.kinds import COLUMNS
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.cache import FORMAT
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.parts import Corpus, Part
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.reading.groups import load_groups, save_groups
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.reading.tables import fingerprint
from msplora_search.tasks.task import Task, prepare, read_corpus
from tests.small import sentences, study_fields, tokenizer, write_jsonl
from tests.tasks.models import save_vit, stripes, study_of


def rows_of(cells: list[Any]) -> list[dict[str, Any]]:
    return [{**row, "patient": cell} for row, cell in zip(sentences(len(cells)), cells, strict=True)]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    match path.suffix:
        case ".jsonl":
            write_jsonl(path, rows)
        case ".csv":
            pd.DataFrame(rows).to_csv(path, index=False)
        case ".parquet":
            pd.DataFrame(rows).to_parquet(path)
    return path


def settings_of(folder: Path, data: Path, test: Path | None = None, **changes: Any) -> StudySettings:
    source = {"path": str(data), **({} if test is None else {"test": str(test)})}
    task = {"kind": "text-classification", "dataset": source, "group": "patient"}
    return StudySettings.model_validate(study_fields(folder, task=task, **changes))


def prepared(folder: Path, data: Path, test: Path | None = None, **changes: Any) -> Task:
    return prepare(settings_of(folder, data, test, **changes), tokenizer())


def corpus_of(folder: Path, data: Path) -> Corpus:
    settings = settings_of(folder, data)
    return read_corpus(kind_of(settings.task, tokenizer()), settings.task.dataset)


def groups_of(part: Part | None) -> set[int]:
    assert part is not None
    assert part.groups is not None
    return set(part.groups.tolist())


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    "cells",
    [["anna", "bo", " anna", "bo ", "01", "1"], [7, 8, 7, 8, 10, 1], [True, False, True, False, True, True]],
)
def test_equal_cells_are_one_group_in_every_kind_of_file(tmp_path: Path, suffix: str, cells: list[Any]) -> None:
    expected = {"anna": [0, 1, 0, 1, 2, 3], 7: [0, 1, 0, 1, 2, 3], True: [0, 1, 0, 1, 0, 0]}[cells[0]]
    data = written(tmp_path / f"data{suffix}", rows_of(cells))
    corpus, again = corpus_of(tmp_path, data), corpus_of(tmp_path, data)
    for one in (corpus, again):
        assert one.groups is not None
        assert one.groups.tolist() == expected
    part = Part(corpus, np.array([3, 0]))
    assert part.groups is not None
    assert part.groups.tolist() == [1, 0]


def test_typed_cells_are_equal_where_they_would_be_one_class(tmp_path: Path) -> None:
    cells = [1, 1.0, "1", " 1\n", b"1", True, "true", datetime.date(2024, 1, 2), "2024-01-02", "01"]
    assert save_groups(Table({"patient": cells}, "x"), "patient", tmp_path) == "4 groups of equal 'patient'"
    groups, keys = load_groups(tmp_path)
    assert groups.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3]
    assert len(set(keys.tolist())) == 4


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("data.csv", "", "is empty"), ("data.csv", "  ", "is '  '"), ("data.jsonl", None, "is None"),
        ("data.jsonl", "", "is empty"), ("data.jsonl", 1.5, "is 1.5"), ("data.jsonl", ["a"], r"is \['a'\]"),
        ("data.parquet", None, "is None"), ("data.parquet", "", "is empty"),
    ],
)  # fmt: skip
def test_a_cell_that_is_empty_or_no_value_is_refused_with_its_row(
    tmp_path: Path, name: str, cell: Any, said: str
) -> None:
    data = written(tmp_path / name, rows_of(["a", cell, "b"]))
    with pytest.raises(InputError, match=rf"{name}: row 2 of column 'patient' {said}; it must be text") as caught:
        corpus_of(tmp_path, data)
    assert caught.value.field == "task.group"


def test_a_column_that_is_not_there_is_named_of_data_and_of_the_test_part(tmp_path: Path) -> None:
    plain, grouped = write_jsonl(tmp_path / "plain.jsonl", sentences(500)), rows_of([i % 60 for i in range(500)])
    with pytest.raises(InputError, match=r"plain\.jsonl: task\.group is 'patient', no such column; there are"):
        prepared(tmp_path, plain)
    with pytest.raises(InputError, match=r"plain\.jsonl: task\.group is 'patient', no such column"):
        prepared(tmp_path, write_jsonl(tmp_path / "grouped.jsonl", grouped), plain)


def test_a_folder_of_images_has_no_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    for i, (image, label) in enumerate(stripes(8)):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "set" / label / f"{i}.png")
    task = {"kind": "image-classification", "dataset": str(tmp_path / "set"), "group": "patient"}
    save_vit(tmp_path / "model")
    settings = study_of(tmp_path, task)
    with pytest.raises(InputError, match="but a folder of images has no such column; give a table with") as caught:
        prepare(settings, load_processor(settings))
    assert caught.value.field == "task.group"


def test_every_kind_of_task_reads_the_column_of_groups() -> None:
    for kind in COLUMNS:
        plain = TaskSettings.model_validate({"kind": kind, "dataset": "x"})
        grouped = TaskSettings.model_validate({"kind": kind, "dataset": "x", "group": "patient"})
        assert grouped.columns == (*plain.columns, "patient")
    passages = TaskSettings.model_validate({"text": ["question", "passage"], "dataset": "x", "group": "passage"})
    assert passages.columns == ("question", "passage", "label")


def test_what_was_read_without_groups_is_found_again_and_groups_are_read_anew(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", rows_of([i % 60 for i in range(500)]))
    grouped = corpus_of(tmp_path, data)
    settings = StudySettings.model_validate(study_fields(tmp_path))
    kind, source = kind_of(settings.task, tokenizer()), settings.task.dataset
    plain = read_corpus(kind, source)
    parts = [FORMAT, kind.settings.kind, fingerprint(source), kind.cache_key(source), None]
    assert plain.fingerprint == hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    assert plain.groups is None
    assert Part(plain, np.arange(3)).groups is None
    assert grouped.fingerprint != plain.fingerprint


def test_no_part_of_a_search_splits_a_group_and_the_notes_count_them(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", rows_of([f"p{i % 125}" for i in range(1000)]))
    task = prepared(tmp_path, data, proxy={"train_examples": 160, "validation_examples": 80})
    found = [groups_of(part) for part in (task.train, task.validation, task.judging)]
    assert [len(groups) for groups in found] == [20, 10, 10]
    assert len(set.union(*found)) == 40
    assert task.notes == (
        "1,000 rows are read",
        "125 groups of equal 'patient'",
        "classes: bad (501), good (499)",
        "200 of 1,000 rows are set aside for the test of full training (25 groups)",
        "the proxy trains on 160 of the rest (20 groups) and validates on 80 (10 groups)",
        "the judging part, which no choice reads, has 80 rows (10 groups)",
    )


def test_groups_of_a_named_test_part_that_are_trained_on_are_told(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", rows_of([f"p{i % 50}" for i in range(500)]))
    test = write_jsonl(tmp_path / "test.jsonl", rows_of(["new", "p3", " p49", "p3", "other", "new"]))
    notes = prepared(tmp_path, data, test).notes
    assert notes[-2:] == (
        "the test part of full training has 6 rows (4 groups)",
        "2 of the 4 groups of the test part are in the training data too",
    )
    apart = write_jsonl(tmp_path / "apart.jsonl", rows_of(["new", "other"]))
    assert prepared(tmp_path, data, apart).notes[-1] == "the test part of full training has 2 rows (2 groups)"


def test_full_training_splits_no_group_and_tests_on_what_the_search_set_aside(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", rows_of([f"p{i * i % 97}" for i in range(1000)]))
    settings = settings_of(tmp_path, data)
    parts = prepare_full(settings.task, ("bad", "good"), 0.1, tokenizer())
    again = prepare_full(settings.task, ("bad", "good"), 0.1, tokenizer())
    three = (parts.task.train, parts.task.validation, parts.test)
    assert sum(len(part) for part in three) == 1000
    found = [groups_of(part) for part in three]
    assert sum(map(len, found)) == len(set.union(*found)) == 49
    assert 60 <= len(parts.task.validation) <= 100
    assert np.array_equal(parts.task.validation.rows, again.task.validation.rows)
    assert np.array_equal(parts.test.rows, again.test.rows)
    searched = prepare(settings, tokenizer())
    assert not found[2] & (groups_of(searched.train) | groups_of(searched.validation))


def test_rows_that_are_kept_to_choose_a_rate_by_split_no_group(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", rows_of([f"p{i * i % 97}" for i in range(1000)]))
    settings = settings_of(tmp_path, data)
    parts = prepare_full(settings.task, ("bad", "good"), 0.2, tokenizer(), choosing=True)
    assert parts.choosing is not None
    four = (parts.task.train, parts.task.validation, parts.choosing, parts.test)
    assert sum(len(part) for part in four) == 1000
    found = [groups_of(part) for part in four]
    assert sum(map(len, found)) == len(set.union(*found)) == 49
    assert 0.5 < len(parts.choosing) / len(parts.task.validation) < 2


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["a"] * 100, "no part splits a group of column 'patient', which leaves 100 examples to train on and 0"),
        (["a", "b"] * 50, "no row is left to test on; .* task.dataset.test_share and at least three groups"),
    ],
)
def test_full_training_says_what_too_few_groups_leave(tmp_path: Path, cells: list[str], said: str) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", rows_of(cells))
    with pytest.raises(InputError, match=said):
        prepare_full(settings_of(tmp_path, data).task, ("bad", "good"), 0.1, tokenizer())
