from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from msplora_search.errors import InputError
from msplora_search.settings import StudySettings
from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.cache import cache_root
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.labels import class_labels
from msplora_search.tasks.parts import set_aside
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.reading.tables import fingerprint, read_table
from msplora_search.tasks.task import Task, prepare
from msplora_search.tasks.tokens import Tokens
from tests.small import save_model, sentences, study_fields, tokenizer, write_jsonl, write_study

ROWS: list[dict[str, Any]] = [
    {"text": 'a "quoted", good film', "label": "good", "n": 1},
    {"text": "with\ta tab", "label": "bad", "n": 0},
    {"text": "Ünïcode 映画", "label": "good", "n": 1},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pd.DataFrame(rows)
    match path.suffix:
        case ".jsonl":
            write_jsonl(path, rows)
        case ".json":
            path.write_text(json.dumps(rows))
        case ".csv":
            frame.to_csv(path, index=False)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case ".parquet":
            frame.to_parquet(path)
    return path


def settings_of(folder: Path, **changes: Any) -> StudySettings:
    return StudySettings.model_validate(study_fields(folder, **changes))


def prepared(folder: Path, **changes: Any) -> Task:
    return prepare(settings_of(folder, **changes), tokenizer())


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"data{suffix}", ROWS)
    table = read_table(DatasetSource(path=str(path)))
    assert table.rows == 3
    for name in ("text", "label"):
        assert table.column("task.text", name) == [row[name] for row in ROWS]
    assert class_labels(table, "n")[1] == ("0", "1")
    only = read_table(DatasetSource(path=str(path)), ["n", "other"])
    assert (list(only.columns), only.names) == (["n"], ("text", "label", "n"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.jsonl", "", "the data set is empty"),
        ("data.csv", "text,label\n", "the data set is empty"),
        ("data.jsonl", '{"text": "a"\n', "line 1 is no JSON that can be read: Expecting"),
        ("data.parquet", "no parquet", "cannot be read as parquet"),
        ("data.xlsx", "x", "has the ending '.xlsx'; it must be .jsonl, .json, .csv, .tsv, .parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_table(DatasetSource(path=str(path)))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        read_table(DatasetSource(path=str(tmp_path / "nothing.csv")))


def test_a_missing_column_names_the_columns_there_are() -> None:
    table = Table({"sentence": ["a"], "label": [1]}, "data.csv")
    with pytest.raises(
        InputError, match=r"data.csv: task.text is 'sentense', no such column; did you mean 'sentence'"
    ):
        table.column("task.text", "sentense")


@pytest.mark.parametrize(
    ("cells", "indices", "classes"),
    [
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        ([10, 2, 10], [1, 0, 1], ("2", "10")),
        ([1.0, 0.0], [1, 0], ("0", "1")),
        ([True, False], [1, 0], ("false", "true")),
        (["1", "01", " 1 "], [1, 0, 1], ("01", "1")),
        (["NA", "None", "null", "nan"], [0, 1, 3, 2], ("NA", "None", "nan", "null")),
        ([b"good", " bad\n"], [1, 0], ("bad", "good")),
        (["-1", "1", "0"], [0, 2, 1], ("-1", "0", "1")),
        (["1.10", "1.1"], [1, 0], ("1.1", "1.10")),
        (["1", 2], [0, 1], ("1", "2")),
    ],
)
def test_labels_become_indices_in_the_order_of_the_classes(
    cells: list[Any], indices: list[int], classes: tuple[str, ...]
) -> None:
    found, names = class_labels(Table({"label": cells}, "x"), "label")
    assert found.tolist() == indices
    assert names == classes


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["a", None], "row 2 of label column 'label' is None; it must be a class"),
        (["a", ""], "row 2 of label column 'label' is empty; it must be a class"),
        (["a", b"\xff"], r"row 2 of label column 'label' is b'\\xff'; it must be a class"),
        ([1, float("nan")], "row 2 of label column 'label' is nan; it must be a class"),
        ([0.5, 1.0], "row 1 of label column 'label' is 0.5"),
        ([["a"], "b"], r"row 1 of label column 'label' is \['a'\]"),
        (["a", "a"], "only the class 'a'; classification needs 2 to 1000"),
        (list(range(1001)), "1,001 classes"),
    ],
)
def test_labels_that_are_no_classes_are_refused(cells: list[Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        class_labels(Table({"label": cells}, "data.csv"), "label")


def test_the_two_parts_share_no_example_and_depend_on_the_seed_alone(tmp_path: Path) -> None:
    one, again = prepared(tmp_path), prepared(tmp_path)
    other = prepared(tmp_path, search={"seed": 1})
    assert (len(one.train), len(one.validation)) == (256, 144)
    assert not set(one.train.rows) & set(one.validation.rows)
    assert np.array_equal(one.train.rows, again.train.rows)
    assert not np.array_equal(one.train.rows, other.train.rows)


def test_parts_shrink_in_proportion_and_say_so(tmp_path: Path) -> None:
    task = prepared(tmp_path, proxy={"train_examples": 1500, "validation_examples": 500})
    assert (len(task.train), len(task.validation)) == (300, 100)
    assert "100 of 500 rows are set aside" in task.note
    assert "trains on 300 of the rest and validates on 100" in task.note


def test_test_rows_are_the_same_for_every_seed_and_never_in_a_proxy(tmp_path: Path) -> None:
    task = settings_of(tmp_path).task
    pool, test = set_aside(task, 500)
    assert sorted([*pool, *test]) == list(range(500))
    assert len(test) == 100
    for seed in range(3):
        found = prepared(tmp_path, search={"seed": seed})
        assert not {*found.train.rows, *found.validation.rows} & set(test)


def test_nothing_is_set_aside_where_a_test_part_is_named(tmp_path: Path) -> None:
    source = {
        "path": str(tmp_path / "data.jsonl"),
        "test": str(write_jsonl(tmp_path / "test.jsonl", sentences(9))),
    }
    task = prepared(tmp_path, task={"dataset": source}, proxy={"train_examples": 300, "validation_examples": 200})
    assert (len(task.train), len(task.validation)) == (300, 200)
    assert task.notes == (
        "500 rows are read", "classes: bad (254), good (246)", "no row is left over for a judging part",
        "the test part of full training has 9 rows",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, r"^task\.dataset\.test: .*test\.jsonl is no file"),
        ([], r"test\.jsonl: the data set is empty"),
        ([{"sentence": "a", "label": "good"}], r"test\.jsonl: task\.text is 'text', no such column"),
        ([{"text": "a", "label": "odd"}], r"test\.jsonl: row 1 of label column 'label' is 'odd'; the classes are"),
        (sentences(500), "which holds the rows that are trained on"),
    ],
)
def test_a_wrong_test_part_is_told_before_the_search(tmp_path: Path, rows: Any, said: str) -> None:
    settings = settings_of(
        tmp_path, task={"dataset": {"path": str(tmp_path / "data.jsonl"), "test": str(tmp_path / "test.jsonl")}}
    )
    if rows is not None:
        write_jsonl(tmp_path / "test.jsonl", rows)
    with pytest.raises(InputError, match=said):
        prepare(settings, tokenizer())


def test_a_test_part_may_lack_a_class_and_is_read_with_the_classes_of_the_data(tmp_path: Path) -> None:
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": "a good film", "label": "good"}])
    source = {"path": str(tmp_path / "data.jsonl"), "test": str(test)}
    parts = prepare_full(settings_of(tmp_path, task={"dataset": source}).task, ("bad", "good"), 0.1, tokenizer())
    assert parts.test.truth.tolist() == [1]


def test_that_there_will_be_no_test_part_is_told_before_the_search(tmp_path: Path) -> None:
    source = {"path": str(tmp_path / "data.jsonl"), "test_share": 0}
    assert "there is no test part, which full training needs" in prepared(tmp_path, task={"dataset": source}).note
    assert "no test part" not in prepared(tmp_path).note


def test_the_class_named_positive_is_measured_and_told(tmp_path: Path) -> None:
    plain = prepared(tmp_path, task={"metric": "f1"})
    other = prepared(tmp_path, task={"metric": "f1", "positive": "bad"})
    assert "classes: bad (254), good (246, positive)" in plain.notes
    assert "classes: bad (254, positive), good (246)" in other.notes
    always_bad = np.zeros(len(plain.validation), dtype=np.int64)
    assert plain.metric.score(plain.validation.truth, always_bad) == 0.0
    assert other.metric.score(other.validation.truth, always_bad) > 0.5
    with pytest.raises(InputError, match=r"task\.positive is 'great', but the classes are 'bad', 'good'"):
        prepared(tmp_path, task={"metric": "f1", "positive": "great"})


def test_positive_is_for_f1_and_is_text() -> None:
    task = {"dataset": "none.csv", "metric": "f1"}
    for given, kept in ((1, "1"), (True, "true"), (" bad", "bad")):
        assert TaskSettings.model_validate({**task, "positive": given}).positive == kept
    with pytest.raises(ValueError, match="says whose f1 is measured, but this is text-classification with"):
        TaskSettings.model_validate({**task, "metric": "accuracy", "positive": "a"})


def test_f1_of_three_classes_is_one_metric_also_where_one_is_missing(tmp_path: Path) -> None:
    rows = [{"text": "good", "label": ("x", "y")[i % 2]} for i in range(40)]
    _, aside = set_aside(settings_of(tmp_path).task, 40)
    rows[int(aside[0])]["label"] = "z"
    write_jsonl(tmp_path / "data.jsonl", rows)
    task = prepared(tmp_path, task={"metric": "f1"}, proxy={"train_examples": 16, "validation_examples": 16})
    truth = task.validation.truth
    assert task.metric.score(truth, truth) == pytest.approx(2 / 3)


def test_empty_texts_are_counted_and_an_empty_column_is_refused(tmp_path: Path) -> None:
    rows = sentences(100)
    rows[3]["text"], rows[4]["text"] = "", None
    write_jsonl(tmp_path / "data.jsonl", rows)
    assert "2 of 100 rows have an empty text" in prepared(tmp_path).notes
    write_jsonl(tmp_path / "data.jsonl", [{**row, "text": " "} for row in rows])
    with pytest.raises(InputError, match="column 'text' is empty everywhere; it must hold texts"):
        prepared(tmp_path)


@pytest.mark.parametrize("dataset", ["nobody/nothing", "folder"])
def test_no_library_prints_a_line_before_ours(tmp_path: Path, dataset: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.csv").write_text('text,label\n"a, b",x\nc,d,e\n')
    path = write_study(tmp_path, task={"dataset": dataset})
    program = [
        str(Path(sys.executable).parent / "msplora-search"),
        "run",
        str(path),
        "--output",
        str(tmp_path / "out"),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    found = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 2
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert "Traceback" not in found.stderr


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data.jsonl", sentences(3))
    with pytest.raises(InputError, match="3 rows are too few"):
        prepared(tmp_path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data.jsonl", [{"text": "good", "label": "x"}] * 20)
    with pytest.raises(InputError, match="only the class 'x'"):
        prepared(tmp_path)


def test_a_class_missing_from_a_part_is_told(tmp_path: Path) -> None:
    rows = [{"text": "good", "label": ("x", "y")[i % 2]} for i in range(40)]
    order, aside = set_aside(settings_of(tmp_path).task, 40)
    rows[int(aside[0])]["label"] = "rare"
    write_jsonl(tmp_path / "data.jsonl", rows)
    note = prepared(tmp_path, proxy={"train_examples": 16, "validation_examples": 16}).note
    assert "the class 'rare' has no training example; the class 'rare' has no validation example" in note
    assert len(order) == 32


def test_texts_that_are_cut_are_told(tmp_path: Path) -> None:
    rows = sentences(100)
    rows[3]["text"] = "good " * 60
    write_jsonl(tmp_path / "data.jsonl", rows)
    assert "1 of 100 texts are cut to 32 tokens" in prepared(tmp_path, task={"max_length": 32}).note


def test_a_cell_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data.jsonl", [{"text": ["a"], "label": "x"}, {"text": ["b"], "label": "y"}])
    with pytest.raises(InputError, match=r"row 1 of column 'text' is \['a'\]; it must be text"):
        prepared(tmp_path)


def test_tokenised_data_comes_from_the_cache_until_something_changes(tmp_path: Path) -> None:
    prepared(tmp_path)
    cached = sorted((cache_root() / "tokens").glob("*/ids.npy"))
    prepared(tmp_path, search={"seed": 5})
    assert sorted((cache_root() / "tokens").glob("*/ids.npy")) == cached
    assert len(cached) == 1
    rows = sentences(500)
    rows[7]["text"] = "an awful change"
    write_jsonl(tmp_path / "data.jsonl", rows)
    assert tokens_of(prepared(tmp_path), 7) == tokenizer()("an awful change")["input_ids"]
    prepared(tmp_path, task={"max_length": 8})
    assert len(list((cache_root() / "tokens").glob("*/ids.npy"))) == 3


def tokens_of(task: Task, row: int) -> list[int]:
    tokens = task.train.corpus.examples
    assert isinstance(tokens, Tokens)
    return list(map(int, tokens[row]))


def test_two_columns_are_a_pair_with_segments(tmp_path: Path) -> None:
    rows = [{"a": "good film", "b": "bad plot", "label": i % 2} for i in range(40)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    task = prepared(tmp_path, task={"text": ["a", "b"]})
    expected = tokenizer()("good film", "bad plot")
    assert tokens_of(task, 0) == expected["input_ids"]
    batch = task.collate(task.train, np.arange(2))
    assert batch.inputs["token_type_ids"][0].tolist() == expected["token_type_ids"]


def test_long_texts_are_cut_with_their_special_tokens(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data.jsonl", [{"text": "good " * 30, "label": i % 2} for i in range(20)])
    ids = tokens_of(prepared(tmp_path, task={"max_length": 8}), 0)
    assert len(ids) == 8
    assert (ids[0], ids[-1]) == (2, 3)


def test_a_batch_pads_to_its_longest_example(tmp_path: Path) -> None:
    task = prepared(tmp_path)
    rows = np.array([4, 0, 9])
    batch = task.collate(task.train, rows)
    lengths = task.train.lengths[rows]
    assert batch.inputs["input_ids"].shape == (3, lengths.max())
    assert batch.inputs["attention_mask"].sum(dim=1).tolist() == lengths.tolist()
    assert batch.targets.tolist() == task.train.truth[rows].tolist()
    for i, row in enumerate(task.train.rows[rows]):
        assert batch.inputs["input_ids"][i, : lengths[i]].tolist() == tokens_of(task, int(row))
        assert (batch.inputs["input_ids"][i, lengths[i] :] == 0).all()


def test_a_hub_id_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"task\.dataset 'nobody/nothing'"):
        read_table(DatasetSource(path="nobody/nothing"))


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a data set's repository: what load_dataset does with it is what it does with an id."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    folder = tmp_path / "repository"
    (folder / "small").mkdir(parents=True)
    write_jsonl(folder / "small" / "train.jsonl", ROWS)
    write_jsonl(folder / "small" / "test.jsonl", ROWS[:1])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n  - {split: train, path: small/train.jsonl}\n"
        "  - {split: test, path: small/test.jsonl}\n  features:\n  - {name: text, dtype: string}\n"
        "dataset_info:\n- config_name: small\n  features:\n  - {name: text, dtype: string}\n"
        "  - {name: n, dtype: {class_label: {names: {'0': 'no', '1': 'yes'}}}}\n"
        "  - {name: label, dtype: string}\n---\n"
    )
    return folder


def test_a_repository_is_read_by_name_and_split_with_the_names_of_its_classes(hub_folder: Path) -> None:
    source = DatasetSource(path=str(hub_folder), name="small")
    table = read_table(source)
    assert table.column("task.text", "text") == [row["text"] for row in ROWS]
    assert table.column("task.label", "n") == ["yes", "no", "yes"]
    assert read_table(DatasetSource(path=str(hub_folder), name="small", split="test")).rows == 1
    assert fingerprint(source) == fingerprint(source)


def test_code_in_a_repository_is_not_run(hub_folder: Path) -> None:
    mark = hub_folder.parent / "ran"
    (hub_folder / "repository.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    with pytest.raises(InputError, match="scripts are no longer supported"):
        read_table(DatasetSource(path=str(hub_folder), name="small"))
    assert not mark.exists()


@pytest.mark.parametrize("change", [{"name": "large"}, {"split": "dev"}])
def test_a_repository_without_the_part_asked_for_says_which_there_are(hub_folder: Path, change: Any) -> None:
    with pytest.raises(InputError, match=r"task\.dataset .*(small|train)"):
        read_table(DatasetSource(path=str(hub_folder), **{"name": "small", **change}))


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="give a file, demo:NAME, a folder of data files"):
        read_table(DatasetSource(path=str(tmp_path / "empty")))
    save_model(tmp_path / "model")
    with pytest.raises(InputError, match=r"model/tokenizer.*\.json: holds no rows"):
        read_table(DatasetSource(path=str(tmp_path / "model")))
