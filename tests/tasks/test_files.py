"""Files of rows: what stands in them is what is read, and what cannot be read is told by name and line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from msplora_search.errors import InputError
from msplora_search.settings import load_study
from msplora_search.settings.task import DatasetSource
from msplora_search.tasks.labels import class_labels
from msplora_search.tasks.reading.local_files import is_file
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.reading.tables import read_table, source_of_test
from tests.small import write_study

WANTED = ("text", "label")


def read(path: Path | str, *wanted: str) -> Table:
    return read_table(DatasetSource(path=str(path)), wanted or WANTED)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(table: Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table.columns[name] for name in WANTED), strict=True))


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_cell_is_the_text_that_stands_in_the_file(tmp_path: Path, separator: str) -> None:
    cells = [
        "00123",
        "1.10",
        "1",
        "0.5",
        "NA",
        "None",
        "null",
        "nan",
        "",
        " a ",
        "1e5",
        "TRUE",
        "12345678901234567890",
    ]
    lines = ["text,label", *(f"{cell},{i % 2:02}" for i, cell in enumerate(cells))]
    path = written(tmp_path, "data.csv", "\n".join(lines).replace(",", separator))
    table = read(path)
    assert table.columns["text"] == cells
    assert class_labels(table, "label")[1] == ("00", "01")


def test_a_type_that_changes_late_in_an_unused_column_matters_to_nobody(tmp_path: Path) -> None:
    lines = ["text,label,id", *(f"a,{i % 2},{i}" for i in range(20_000)), "b,1,x"]
    table = read(written(tmp_path, "data.csv", "\n".join(lines)))
    assert (table.rows, list(table.columns), table.names) == (20_001, ["text", "label"], ("text", "label", "id"))


PROPER = 'text,label\n"a, b",x\n"two\nlines",y\n"a ""word""",x\n'
TSV = "text\tlabel\n" + "".join(f"a film {i}\tx\n" for i in range(5))


@pytest.mark.parametrize(
    ("name", "content", "expected", "told"),
    [
        ("proper.csv", PROPER, [("a, b", "x"), ("two\nlines", "y"), ('a "word"', "x")], "quotes around cells"),
        ("proper.csv", "\ufeff" + PROPER.replace("\n", "\r\n"),
         [("a, b", "x"), ("two\r\nlines", "y"), ('a "word"', "x")], "quotes around cells"),
        ("lone.csv", 'text,label\n"a film,x\nb,y\nthe end",x\n', [('"a film', "x"), ("b", "y"), ('the end"', "x")],
         "quotes are part of the text"),
        ("lone.tsv", 'text\tlabel\n"a film\tx\nb, c\ty\nsaid "d"\tx\n',
         [('"a film', "x"), ("b, c", "y"), ('said "d"', "x")], "quotes are part of the text"),
        ("whole.tsv", 'text\tlabel\n"a film"\tx\nb\ty\n', [('"a film"', "x"), ("b", "y")], "quotes are part"),
        ("quoted.tsv", '"text"\t"label"\n"a film"\t"x"\n"b"\t"y"\n', [("a film", "x"), ("b", "y")], "around"),
        ("doubled.tsv", 'text\tlabel\n"a ""film"""\tx\nb\ty\n', [('a "film"', "x"), ("b", "y")], "quotes around"),
        ("tabs.csv", "text\tlabel\na, b\tx\n", [("a, b", "x")], "separated by tabs"),
        ("semicolons.csv", "text;label\na, b;x\n", [("a, b", "x")], "separated by semicolons"),
        ("semicolons.csv", "id;text, raw;text;label\n1;q;a;x\n", [("a", "x")], "separated by semicolons"),
        ("commas.tsv", "text,label\na,x\n", [("a", "x")], "separated by commas"),
        ("old.csv", "text,label\ra,x\rb,y\r", [("a", "x"), ("b", "y")], ""),
        ("gaps.csv", "text,label\n\na,x\n\n", [("a", "x")], ""),
        ("breaks.tsv", "text\tlabel\na\u2028b\x0bc\x85d\tx\n", [("a\u2028b\x0bc\x85d", "x")], ""),
        ("index.csv", ",text,label\n0,a,x\n", [("a", "x")], ""),
    ],
)  # fmt: skip
def test_no_row_is_lost_and_what_was_found_is_told(
    tmp_path: Path, name: str, content: str, expected: list[tuple[str, str]], told: str
) -> None:
    table = read(written(tmp_path, name, content))
    assert rows_of(table) == expected
    (note,) = table.notes
    assert note.startswith(f"{len(expected)} rows are read")
    assert told in note
    assert bool(told) == ("," in note)


def test_a_long_cell_is_read_whole(tmp_path: Path) -> None:
    assert read(written(tmp_path, "data.csv", f'text,label\n"{"a" * 300_000}",x\n')).columns["text"] == [
        "a" * 300_000
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.csv", "text,label\na,x\nb, c,y\n", "d.csv: line 3 has 3 cells, but the header 2"),
        ("d.csv", "text,label\na,x\nb\n", "d.csv: line 3 has 1 cell, but the header 2"),
        ("d.csv", 'text,label\n"a, b",x\n"c "d" e",y\n', "d.csv: line 3 has .* is written twice"),
        ("d.csv", 'text,label\n"a, b",x\n"c, d,y\n', "d.csv: line 3 has a quote that is never closed"),
        ("d.csv", "text,label,text\na,x,b\n", "d.csv: two columns are called 'text'"),
        ("d.csv", b"text,label\na,x\nb\xe9,y\n", r"d.csv: line 3 is not UTF-8 \(byte 0xe9\); save it as UTF-8"),
        ("d.csv", "text,label\na,x\n".encode("utf-16"), "d.csv: is UTF-16; save it as UTF-8"),
        ("d.csv", "text,label\na,x\n".encode("utf-16-le"), "d.csv: is no text in UTF-8: it holds NUL bytes"),
        ("d.csv", b"PK\x03\x04", "d.csv: is a zip archive, or a workbook"),
        ("d.csv", "version https://git-lfs.github.com/spec/v1\n", "d.csv: is a pointer of Git LFS"),
        ("d.jsonl", gzip.compress(b'{"text": "a"}', mtime=0), "d.jsonl: is compressed by gzip; unpack it"),
        ("d.jsonl", '{"text": "a", "label": 1}\n{"text": }\n', "d.jsonl: line 2 is no JSON .*column 10"),
        ("d.jsonl", '{"text": "a", "text": "b"}\n', "d.jsonl: line 1 is no JSON .* has the key 'text' twice"),
        ("d.jsonl", '{"text": ' + "[" * 100_000 + "\n", "d.jsonl: line 1 is no JSON .*nested too deep"),
        ("d.jsonl", '{"text": "a"}\n\n["b"]\n', r"d.jsonl: line 3 is \['b'\]; it must be an object"),
        ("d.json", '[{"text": "a"},\n {"text": "b",}]', "d.json: line 2 is no JSON"),
        ("d.json", '{"text": ["a", "b"], "label": ["x"]}', "d.json: column 'label' has 1 cells, but 'text' 2"),
        ("d.json", '"text"', "d.json: holds no rows"),
        ("d.parquet", b"PK\x03\x04", "d.parquet: cannot be read as parquet"),
        ("d.parquet", b"PAR1 and nothing", "d.parquet: cannot be read as parquet"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(written(tmp_path, name, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.json", '[{"text": "a", "label": "x"}, {"text": "b"}]'),
        ("d.json", '{"data": [{"text": "a", "label": "x"}, {"text": "b"}]}'),
        ("d.json", '{"text": ["a", "b"], "label": ["x", null]}'),
        ("d.json", '{"text": "a", "label": "x"}\n{"text": "b"}\n'),
        ("d.jsonl", '\ufeff{"text": "a", "label": "x"}\r\n\r\n{"text": "b"}'),
        ("d.jsonl", '[{"text": "a", "label": "x"}, {"text": "b"}]'),
    ],
)
def test_json_is_read_in_each_of_its_forms(tmp_path: Path, name: str, content: str) -> None:
    assert rows_of(read(written(tmp_path, name, content))) == [("a", "x"), ("b", None)]


def test_a_huge_integer_in_json_is_its_digits(tmp_path: Path) -> None:
    digits = "9" * 5000
    assert read(written(tmp_path, "d.jsonl", f'{{"text": {digits}, "label": 1}}')).columns["text"] == [digits]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_wide_table_gives_the_wanted_columns_and_names_the_others(tmp_path: Path, suffix: str) -> None:
    row = {**{f"c{i}": i for i in range(1000)}, "text": "a", "label": "x"}
    path = tmp_path / f"wide{suffix}"
    match suffix:
        case ".csv":
            pd.DataFrame([row] * 30).to_csv(path, index=False)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for _ in range(30)))
        case ".parquet":
            pd.DataFrame([row] * 30).to_parquet(path)
    table = read(path)
    assert (sorted(table.columns), len(table.names), table.rows) == (["label", "text"], 1002, 30)
    with pytest.raises(InputError, match=r"task\.text is 'txet', no such column; did you mean 'text'"):
        read(path, "txet", "label").column("task.text", "txet")
    with pytest.raises(InputError, match=r"there are: c0, c1, c10.* and 982 more$"):
        read(path, "zzz").column("task.text", "zzz")


NAMES = [
    "a[1]b.csv",
    "a?b.csv",
    "a*b.csv",
    "a::b.csv",
    "a b.csv",
    "a#b%20c.csv",
    "~nobody.csv",
    "ü\n.csv",
    "D.CSV",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_a_path_and_no_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for folder in ("plain", "fold[e]r ?*"):
        (tmp_path / folder).mkdir()
        path = written(tmp_path / folder, name, "text,label\na,x\n")
        assert rows_of(read(path)) == [("a", "x")]
    monkeypatch.chdir(tmp_path / "plain")
    assert rows_of(read(name)) == [("a", "x")]


def test_a_relative_name_that_looks_like_a_user_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~nobody-of-that-name").mkdir()
    path = written(tmp_path / "~nobody-of-that-name", "d.csv", "text,label\na,x\n")
    assert rows_of(read(path.relative_to(tmp_path))) == [("a", "x")]


def test_a_link_is_read_by_its_own_name_or_by_that_of_its_target(tmp_path: Path) -> None:
    """As caches and data version control keep files: `data.csv` is a link to `blobs/abc123`."""
    (tmp_path / "blobs").mkdir()
    blob = written(tmp_path / "blobs", "abc123", "text,label\na,x\n")
    named, bare = tmp_path / "data.csv", tmp_path / "train"
    named.symlink_to(blob)
    bare.symlink_to(named)
    assert rows_of(read(named)) == [("a", "x")]
    with pytest.raises(InputError, match="blobs/abc123 has the ending ''; it must be"):
        read(blob)
    other = written(tmp_path, "real.csv", "text,label\nb,y\n")
    bare.unlink()
    bare.symlink_to(other)
    assert rows_of(read(bare)) == [("b", "y")]


def test_a_study_keeps_the_name_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "abc123").write_text("text,label\na,x\n")
    (tmp_path / "data.csv").symlink_to("abc123")
    path = write_study(tmp_path, task={"dataset": "data.csv"})
    assert load_study(str(path)).task.dataset.path == str(tmp_path / "data.csv")


def test_a_folder_called_as_a_split_is_not_taken_for_a_test_part(tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    path = write_study(tmp_path, task={"dataset": {"path": "someone/data", "test": "validation"}})
    assert load_study(str(path)).task.dataset.test == "validation"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for path in (tmp_path / "data.csv", tmp_path / "zero.csv"):
        with pytest.raises(InputError, match="is a device or a pipe, not a file"):
            read(path)
    for path in (tmp_path / "no\x00thing.csv", tmp_path / ("x" * 300 + ".csv"), tmp_path / "gone.csv"):
        assert is_file(str(path))
        with pytest.raises(InputError, match="is no file"):
            read(path)


def test_a_folder_is_read_as_its_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    (tmp_path / "set").mkdir()
    for i, lines in enumerate(('"a film\t01\nNA\t1\n', "b\t1\n")):
        written(tmp_path / "set", f"train-{i}.tsv", f"text\tlabel\n{lines}")
    assert rows_of(read(tmp_path / "set")) == [('"a film', "01"), ("NA", "1"), ("b", "1")]
    written(tmp_path / "set", "README.md", "")
    (tmp_path / "a[1]").mkdir()
    with pytest.raises(InputError, match=r"holds one of .* rename it"):
        read(tmp_path / "a[1]")


def test_csv_files_that_a_library_reads_are_text_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice of a split, as a repository's files: `datasets` reads them, the wanted columns as text."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    (tmp_path / "set").mkdir()
    written(tmp_path / "set", "train.csv", "text,label,other\n00123,01,1\nNA,1,x\nb,1,2\n")
    table = read_table(DatasetSource(path=str(tmp_path / "set"), split="train[:2]"), WANTED)
    assert rows_of(table) == [("00123", "01"), ("NA", "1")]


def test_a_hub_cache_that_cannot_be_written_is_what_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hf").write_text("no folder")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf" / "datasets")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.txt").write_text("a\n")
    with pytest.raises(
        InputError, match=r"the hub's cache .*hf/datasets cannot be used: Not a directory; set HF_HOME to a folder"
    ):
        read(tmp_path / "set")


@pytest.mark.parametrize(
    ("path", "test", "expected"),
    [
        ("data.csv", "test.csv", ("test.csv", "train")),
        ("data.csv", "demo:boolq", ("demo:boolq", "train")),
        ("someone/data", "validation", ("someone/data", "validation")),
        ("someone/data", "/a/test", ("/a/test", "train")),
        ("someone/data", "./test.jsonl", ("./test.jsonl", "train")),
    ],
)
def test_a_test_part_is_a_file_or_a_split(path: str, test: str, expected: tuple[str, str]) -> None:
    found = source_of_test(DatasetSource(path=path, test=test))
    assert found is not None
    assert (found.path, found.split) == expected


@pytest.mark.parametrize("path", ["data.csv", "demo:boolq"])
def test_a_single_file_has_no_splits(path: str) -> None:
    with pytest.raises(InputError, match=r"'validation', which is no file, and .* has no splits"):
        source_of_test(DatasetSource(path=path, test="validation"))


def test_names_of_files_and_columns_are_shown_without_acting(tmp_path: Path) -> None:
    path = written(tmp_path, "a\x1b[31m.csv", "te\x1b[2Jxt,label\na,x\n")
    with pytest.raises(InputError) as caught:
        read(path, "text").column("task.text", "text")
    assert "\x1b" not in str(caught.value)
    assert r"did you mean 'te\x1b[2Jxt'" in str(caught.value)
