"""What `validate` finds in what a study names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msplora_search.full.checks import check_study, require_training
from msplora_search.settings import StudySettings, load_study
from tests.small import sentences, study_fields, tokenizer, write_jsonl, write_study
from tests.tasks.models import requests, save_llama, study_of


def nothing(_: Path) -> None:
    pass


def no_weights(folder: Path) -> None:
    (folder / "model" / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "model" / "tokenizer.json").unlink()


def too_many_tokens(folder: Path) -> None:
    larger = tokenizer()
    larger.add_tokens(["another"])
    larger.save_pretrained(folder / "model")


def other_labels(folder: Path) -> None:
    write_jsonl(folder / "test.jsonl", [{**row, "label": "so-so"} for row in sentences(20)])


PROBLEMS: list[tuple[str, Callable[[Path], None], dict[str, Any], str, str]] = [
    ("no data", nothing, {"task": {"dataset": "gone.jsonl"}}, "task.dataset", "gone.jsonl"),
    ("no such column", nothing, {"task": {"label": "lable"}}, "task.label", "'label'"),
    ("no model", nothing, {"model": "/nowhere"}, "model", "no folder with a config.json"),
    ("no weights", no_weights, {}, "model", "has no weights"),
    ("no tokenizer", no_tokenizer, {}, "model", "no usable tokenizer"),
    ("too many tokens", too_many_tokens, {}, "model", "its tokenizer has 23 tokens, but its embedding 22 rows"),
    ("another kind of task", nothing, {"task": {"kind": "seq2seq-lm", "prompt": "text", "response": "label"}},
     "task.kind", "cannot do; it can do text-classification"),
    ("no such target", nothing, {"space": {"targets": [["q_proj"]]}}, "space.targets", "matches no linear module"),
    ("too many groups", nothing, {"space": {"groups": {"count": [5]}}}, "space.groups", "a stack of 2 layers"),
    ("too many rungs", nothing, {"proxy": {"epochs": 0.06}}, "proxy.rungs", "no room for 2 rungs"),
    ("no such argument", nothing, {"training": {"trainer": {"leraning_rate": 1}}},
     "training.trainer.leraning_rate", "no field of TrainingArguments"),
    ("odd batches", nothing, {"training": {"batch_size": 10, "trainer": {"gradient_accumulation_steps": 4}}},
     "training.batch_size", "must be a multiple of the 4 batches"),
    ("wrong argument", nothing, {"training": {"trainer": {"lr_scheduler_type": "curved"}}},
     "training.trainer", "curved"),
    ("no test part", nothing, {"task": {"dataset": {"path": "data.jsonl", "test": "gone.jsonl"}}},
     "task.dataset.test", "gone.jsonl"),
    ("other classes in the test part", other_labels,
     {"task": {"dataset": {"path": "data.jsonl", "test": "test.jsonl"}}}, "task.label", "so-so"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "changes", "field", "said"), [p[1:] for p in PROBLEMS], ids=[p[0] for p in PROBLEMS]
)
def test_a_problem_is_told_with_its_line(
    tmp_path: Path, spoil: Callable[[Path], None], changes: dict[str, Any], field: str, said: str
) -> None:
    file = write_study(tmp_path, **changes)
    spoil(tmp_path)
    settings = load_study(str(file))
    place = settings.origin(field)
    assert place is not None
    assert place.startswith(f"{file}:")
    (problem,) = check_study(settings).problems
    assert problem.startswith(f"{place}: ")
    assert said in problem
    assert "\n" not in problem


def test_one_problem_does_not_hide_another(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "task": {"label": "lable"}, "space": {"targets": [["q_proj"]]}, "training": {"trainer": {"bf61": True}},
    }  # fmt: skip
    found = check_study(load_study(str(write_study(tmp_path, **changes)))).problems
    assert [next(f for f in ("bf61", "lable", "q_proj") if f in problem) for problem in found] == [
        "bf61", "lable", "q_proj",
    ]  # fmt: skip


def test_what_is_well_is_told(tmp_path: Path) -> None:
    found = check_study(load_study(str(write_study(tmp_path))))
    assert found.problems == []
    assert "2 layers in bert.encoder.layer, targets query, value: " in found.facts[-1]
    assert found.facts[-1].endswith(" configurations")


def test_weights_are_not_loaded(tmp_path: Path) -> None:
    fields = study_fields(tmp_path)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    assert check_study(StudySettings.model_validate(fields)).problems == []


def test_a_decoder_is_looked_at_too(tmp_path: Path) -> None:
    save_llama(tmp_path / "model")
    data = write_jsonl(tmp_path / "data.jsonl", requests(60))
    found = check_study(study_of(tmp_path, {"kind": "causal-lm", "dataset": str(data)}))
    assert found.problems == []


def test_an_id_that_cannot_be_reached_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    file = write_study(tmp_path, model="nobody/nothing")
    (problem,) = check_study(load_study(str(file))).problems
    assert problem.startswith(f"{file}:")
    assert "model nobody/nothing: no usable config.json: We couldn't connect" in problem
    assert problem.endswith("; where there is no connection, --no-files checks the text alone")


def test_a_fine_training_section_is_fine(tmp_path: Path) -> None:
    trainer = {"report_to": "tensorboard", "gradient_accumulation_steps": 2, "lr_scheduler_type": "cosine"}
    require_training(StudySettings.model_validate(study_fields(tmp_path, training={"trainer": trainer})))
    assert {path.name for path in tmp_path.iterdir()} == {"model", "data.jsonl"}
