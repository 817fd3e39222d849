"""Choices and answers through the command line: from a file to an adapter that stock PEFT loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from peft import PeftModel
from transformers import AutoModelForMultipleChoice, AutoModelForQuestionAnswering
from typer.testing import CliRunner

from msplora_search.cli import app
from msplora_search.settings.document import dump
from tests.program import call
from tests.small import write_jsonl
from tests.tasks.models import study_of
from tests.tasks.reading_models import answering, choosing, chosen, found

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def write(folder: Path, task: dict[str, Any]) -> None:
    fields = study_of(folder, task).model_dump(mode="json", exclude_none=True)
    (folder / "study.yaml").write_text(dump(fields))


def validated(folder: Path) -> tuple[int, str]:
    """Exit code of `validate`, and what it said in one line."""
    done = CliRunner().invoke(app, ["validate", str(folder / "study.yaml")], catch_exceptions=False)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_of", "metric", "chance", "auto"),
    [
        (choosing, "accuracy", "always the place that is right most often", AutoModelForMultipleChoice),
        (answering, "f1", "always no answer", AutoModelForQuestionAnswering),
    ],
)
def test_from_a_file_to_an_adapter(tmp_path: Path, task_of: Any, metric: str, chance: str, auto: Any) -> None:
    write(tmp_path, task_of(tmp_path))
    done = call("run", "study.yaml", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    front = json.loads((tmp_path / "out" / "report" / "front.json").read_text())
    assert front["metric"] == metric
    assert all(0 <= point["metric"] <= 1 for point in front["front"])
    text = (tmp_path / "out" / "report" / "report.md").read_text()
    assert chance in text
    again = call("report", "out", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "report" / "report.md").read_text() == text
    assert call("export", "out", "--pick", "best", "--to", "recipe", cwd=tmp_path).returncode == 0
    done = call("train", "recipe", "--output", "trained", "--merge", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert metric in done.stdout
    tuned = PeftModel.from_pretrained(
        auto.from_pretrained(tmp_path / "model", ignore_mismatched_sizes=True),
        str(tmp_path / "trained" / "model" / "peft"),
    )
    assert any("lora_A" in name for name, _ in tuned.named_parameters())
    auto.from_pretrained(tmp_path / "trained" / "model" / "merged")
    done = call("confirm", "out", "--seeds", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


BAD_TASKS = [
    (choosing, {"text": ["queston"]}, "task.text is 'queston', no such column; did you mean 'question'?"),
    (choosing, {"choices": ["options"]}, "task.choices is 'options', no such column"),
    (choosing, {"choices": ["question"]}, "row 1 of column 'question' is"),
    (choosing, {"choices": []}, "task.choices"),
    (choosing, {"choices": ["choices", "choices"]}, "task.choices"),
    (choosing, {"label": "question"}, "row 1 of label column 'question' is"),
    (choosing, {"metric": "f1"}, "task.metric is f1, which multiple-choice does not have; it has accuracy"),
    (choosing, {"answers": "answers"}, "task.answers is not read by multiple-choice"),
    (answering, {"question": "ask"}, "task.question is 'ask', no such column"),
    (answering, {"context": "text"}, "task.context is 'text', no such column"),
    (answering, {"answers": "answer"}, "task.answers is 'answer', no such column; did you mean 'answers'?"),
    (answering, {"answers": "question"}, "row 1 of column 'question' has the answer 'the film was', which is not"),
    (answering, {"stride": 10}, "task.stride is 10; it must be less than half of max_length, 20"),
    (answering, {"stride": "half"}, "task.stride"),
    (answering, {"metric": "accuracy"}, "task.metric is accuracy, which extractive-qa does not have; it has f1"),
    (answering, {"choices": ["choices"]}, "task.choices is not read by extractive-qa"),
    (answering, {"label": "label"}, "task.label is not read by extractive-qa"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, tuple[Path, dict[str, Any]]]:
    made = {}
    for task_of in (choosing, answering):
        folder = tmp_path_factory.mktemp(task_of.__name__)
        made[task_of] = folder, task_of(folder)
    return made


@pytest.mark.parametrize(("task_of", "change", "said"), BAD_TASKS)
def test_a_field_that_does_not_fit_is_told_in_one_line(
    folders: Any, tmp_path: Path, task_of: Any, change: dict[str, Any], said: str
) -> None:
    folder, task = folders[task_of]
    fields = study_of(folder, task).model_dump(mode="json", exclude_none=True)
    fields["task"] = {**task, **change}
    (tmp_path / "study.yaml").write_text(dump(fields))
    code, told = validated(tmp_path)
    assert code == 2
    assert said in told
    assert "study.yaml:" in told


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_other_files_hold_choices_and_answers_too(tmp_path: Path, ending: str) -> None:
    task = choosing(tmp_path)
    rows = chosen(200)
    if ending == "csv":
        names = ["a", "b", "c", "d"]
        rows = [{**row, **dict(zip(names, row.pop("choices"), strict=False))} for row in rows]
        task["choices"] = names
    frame = pandas.DataFrame(rows)
    path = tmp_path / f"data.{ending}"
    frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, index=False)
    write(tmp_path, {**task, "dataset": str(path)})
    code, told = validated(tmp_path)
    assert code == 0, told
    assert "labels are read as letters" in told
    asked = found(200)
    if ending == "csv":
        asked = [{**row, "answers": (row["answers"]["text"] or [""])[0]} for row in asked]
    frame = pandas.DataFrame(asked)
    frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, index=False)
    write(tmp_path, {"kind": "extractive-qa", "dataset": str(path), "max_length": 20})
    code, told = validated(tmp_path)
    assert code == 0, told
    assert "questions have no answer" in told


def test_a_test_part_of_its_own_is_read_too(tmp_path: Path) -> None:
    task = answering(tmp_path)
    test = write_jsonl(tmp_path / "test.jsonl", found(20, seed=1))
    write(tmp_path, {**task, "dataset": {"path": str(tmp_path / "data.jsonl"), "test": str(test)}})
    code, told = validated(tmp_path)
    assert code == 0, told
    assert "the test part of full training has 20 rows" in told
