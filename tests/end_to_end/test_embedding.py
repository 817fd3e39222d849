"""Pairs of texts by the command line, from the check of a study to a compressed adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from msplora_search.settings import StudySettings
from msplora_search.settings.document import dump
from tests.program import call
from tests.small import write_jsonl
from tests.tasks.embedded import add_sentence_files, embedding_of, pairs, scored

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def retrieval(folder: Path) -> StudySettings:
    """Triplets, with a test part of its own, and groups."""
    texts = ["anchor", "positive", "negative"]
    write_jsonl(folder / "test.jsonl", [{**row, "source": i} for i, row in enumerate(pairs(60, 7, 3))])
    data = {"path": str(folder / "data.jsonl"), "test": str(folder / "test.jsonl")}
    rows = [{**row, "source": i // 2} for i, row in enumerate(pairs(300, texts=3))]
    return embedding_of(folder, rows, text=texts, metric="recall@5", dataset=data, group="source")


def similarity(folder: Path) -> StudySettings:
    return embedding_of(folder, scored(300), label="score")


def write(folder: Path, settings: StudySettings) -> Path:
    study = folder / "study.yaml"
    study.write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    return study


def done(folder: Path, *words: object) -> str:
    found = call(*words, cwd=folder)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study_of", "metric", "chance"),
    [(retrieval, "recall@5", "the positives in random order"), (similarity, "spearman", "always the same number")],
)
def test_every_command_takes_pairs(tmp_path: Path, study_of: Any, metric: str, chance: str) -> None:
    study = write(tmp_path, study_of(tmp_path))
    assert "a valid study" in done(tmp_path, "validate", study)
    told = done(tmp_path, "run", study, "--output", "out")
    assert f"without adapters the model has {metric} " in told
    front = json.loads((tmp_path / "out" / "report" / "front.json").read_text())
    assert front["metric"] == metric
    assert all(point["metric_se"] >= 0 and point["trainable_params"] == point["adapter_params"]
               for point in front["front"])  # fmt: skip
    report = tmp_path / "out" / "report" / "report.md"
    before = report.read_text()
    assert chance in before
    report.unlink()
    done(tmp_path, "report", "out")
    assert report.read_text() == before  # from the storage alone
    done(tmp_path, "export", "out", "--pick", "best", "--to", "recipe")
    assert metric in done(tmp_path, "train", "recipe", "--output", "trained", "--merge")
    model = tmp_path / "trained" / "model"
    modules = json.loads((model / "merged" / "modules.json").read_text())
    assert [module["type"].rpartition(".")[2] for module in modules] == ["Transformer", "Pooling"]
    assert metric in done(tmp_path, "confirm", "out", "--seeds", "2")
    done(tmp_path, "analyze", model / "peft", "--to", "analysis")
    adapter = model / "peft"
    told = done(tmp_path, "compress", adapter, "--study", study, "--to", "small", "--max-error", "0.9", "--json")
    outcome = json.loads(told)
    assert outcome["metric"] == metric
    assert outcome["logits_apart"] < 1e-4
    assert "SentenceTransformer" not in (tmp_path / "small" / "model" / "README.md").read_text()  # no --merge


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("no such column", {"text": ["anchor", "postive"]}, "task.text", "did you mean 'positive'?"),
    ("no such label", {"label": "scor"}, "task.label", "no such column"),
    ("a label that is no number", {"label": "anchor"}, "task.label", "it must be a number"),
    ("a score of three texts", {"text": ["anchor", "positive", "score"], "label": "score"}, "task.label", "three"),
    ("one text", {"text": ["anchor"]}, "task.text", "has 1 column"),
    ("another metric", {"metric": "f1"}, "task.metric", "it has recall@1"),
    ("a metric without a score", {"metric": "spearman"}, "task.metric", "needs label"),
    (
        "a metric with a score",
        {"label": "score", "metric": "recall@1"},
        "task.metric",
        "with label it is spearman",
    ),
    ("no such pooling", {"pooling": "sum"}, "task.pooling", "'auto', 'mean', 'cls' or 'last'"),
    ("files that ask for more", {}, "task.text", "module 'Dense'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "field", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, task: dict[str, Any], field: str, said: str) -> None:
    settings = similarity(tmp_path)
    plain = settings.model_dump(mode="json", exclude_none=True)
    for name in ("label", "metric"):
        del plain["task"][name]
    plain["task"] |= {"text": ["anchor", "positive"], **task}
    if not task:
        add_sentence_files(tmp_path / "model", "mean", "Dense")
    study = tmp_path / "study.yaml"
    study.write_text(dump(plain))
    found = call("validate", study, cwd=tmp_path)
    assert found.returncode == 2
    (line,) = [line for line in (found.stdout + found.stderr).splitlines() if said in line]
    assert line.startswith(f"error: {study}:")
    assert field.rpartition(".")[2] in line or field == "task.text"
