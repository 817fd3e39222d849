"""Every kind of task from the search to what PEFT loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from msplora_search.full.confirm import confirm
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.recipe import recipe_of
from msplora_search.full.selection import pick
from msplora_search.reporting.report import write_report
from msplora_search.search.results import load_results
from msplora_search.search.study import run_study
from msplora_search.search.summary import summarise
from msplora_search.settings.document import Document, dump
from msplora_search.settings.origins import Origins
from msplora_search.settings.recipe import Recipe
from tests.program import call
from tests.small import save_model, write_jsonl
from tests.tasks.models import preferences, requests, save_llama, save_t5, save_vit, study_of
from tests.tasks.reading_models import answering, choosing
from tests.tasks.test_images import images
from tests.tasks.test_regression import rated

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def seq2seq(folder: Path) -> dict[str, Any]:
    save_t5(folder / "model")
    data = write_jsonl(folder / "data.jsonl", requests(200))
    return {"kind": "seq2seq-lm", "dataset": str(data), "metric": "token-accuracy", "max_length": 24}


def causal(folder: Path) -> dict[str, Any]:
    save_llama(folder / "model")
    data = write_jsonl(folder / "data.jsonl", requests(200))
    return {"kind": "causal-lm", "dataset": str(data), "metric": "exact-match", "max_length": 24}


def chats(folder: Path) -> dict[str, Any]:
    save_llama(folder / "model")
    rows = []
    for first, last in zip(requests(200), requests(200, seed=1), strict=True):
        said = [
            (role, row[name])
            for row in (first, last)
            for role, name in (("user", "prompt"), ("assistant", "response"))
        ]
        rows.append({"chat": [{"role": role, "content": text} for role, text in said]})
    data = write_jsonl(folder / "data.jsonl", rows)
    return {"kind": "causal-lm", "dataset": str(data), "messages": "chat", "turns": "every", "max_length": 32}


def preference(folder: Path) -> dict[str, Any]:
    save_llama(folder / "model")
    data = write_jsonl(folder / "data.jsonl", preferences(200))
    return {"kind": "preference", "dataset": str(data), "max_length": 24}


def regression(folder: Path) -> dict[str, Any]:
    save_model(folder / "model")
    data = write_jsonl(folder / "data.jsonl", rated(200))
    return {"kind": "text-regression", "dataset": str(data), "metric": "spearman"}


def pictures(folder: Path) -> dict[str, Any]:
    save_vit(folder / "model")
    return {"kind": "image-classification", "dataset": str(images(folder, 200)), "metric": "f1"}


@pytest.mark.parametrize(
    "task_of", [seq2seq, causal, chats, preference, regression, pictures, choosing, answering]
)
def test_a_search_is_reported_exported_trained_and_confirmed(tmp_path: Path, task_of: Any) -> None:
    settings = study_of(tmp_path, task_of(tmp_path))
    output = run_study(settings, tmp_path / "out")
    results = load_results(output)
    summary = summarise(results)
    assert summary.counts["complete"] == 3 + settings.search.noise_repeats
    write_report(summary, output)
    front = json.loads((output / "report" / "front.json").read_text())
    assert all(point["metric_se"] >= 0 and 0 <= point["front_probability"] <= 1 for point in front["front"])
    assert settings.task.metric_label in (output / "report" / "report.md").read_text()
    recipe = Document(recipe_of(results, pick(summary, "best")), Origins(source="x")).validate(Recipe)
    done = train_and_deliver(recipe, tmp_path / "trained", with_merged=True)
    assert done is not None
    assert done.interval[0] <= done.metric <= done.interval[1]
    assert done.apart <= 1e-4
    confirmed = confirm(results, output, 1)
    assert json.loads(json.dumps(confirmed.to_json(), allow_nan=False))["metric"] == settings.task.metric_label


def test_instruction_tuning_by_the_command_line(tmp_path: Path) -> None:
    settings = study_of(tmp_path, {**causal(tmp_path), "metric": "loss"})
    study = tmp_path / "study.yaml"
    study.write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    done = call("run", study, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "negative loss" in done.stdout
    front = json.loads((tmp_path / "out" / "report" / "front.json").read_text())
    assert (front["metric"], front["direction"]) == ("negative loss", "maximize")
    assert all(point["metric"] < 0 for point in front["front"])
    assert "every token equally likely" in (tmp_path / "out" / "report" / "report.md").read_text()
    done = call("export", "out", "--pick", "best", "--to", "recipe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = call("train", "recipe", "--output", "trained", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "negative loss" in done.stdout
    peft = tmp_path / "trained" / "model" / "peft"
    assert json.loads((peft / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "model"), str(peft))
    ids = torch.tensor([[4, 6, 7, 8, 9, 11, 10, 5, 6]])
    with torch.no_grad():
        assert not torch.equal(base(input_ids=ids).logits, tuned(input_ids=ids).logits)


def test_preferences_by_the_command_line(tmp_path: Path) -> None:
    settings = study_of(tmp_path, preference(tmp_path), training={"epochs": 1})
    study = tmp_path / "study.yaml"
    study.write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    done = call("validate", study, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = call("run", study, "--output", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "reward-accuracy" in done.stdout
    assert "a model without adapters" in (tmp_path / "out" / "report" / "report.md").read_text()
    done = call("export", "out", "--pick", "best", "--to", "recipe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = call("train", "recipe", "--output", "trained", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    peft = tmp_path / "trained" / "model" / "peft"
    assert json.loads((peft / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = torch.tensor([[4, 6, 7, 8, 9, 11, 10, 5, 6]])
    with torch.no_grad():
        plain = base(input_ids=ids).logits
        assert not torch.equal(plain, PeftModel.from_pretrained(base, str(peft))(input_ids=ids).logits)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("task.chosen=better", "task.chosen is 'better', no such column"),
        ("task.rejected=worse", "task.rejected is 'worse', no such column"),
        ("task.prompt=question", "task.prompt is 'question', no such column"),
        ("task.beta=0", "task.beta is 0.0; it should be greater than 0"),
        ("task.metric=accuracy", "task.metric is accuracy, which preference does not have"),
        ("task.template={promt}", "{promt} is no column of task.prompt; did you mean 'prompt'"),
        ("training.lora_dropout=1", "training.lora_dropout is 1.0; it should be less than 1"),
    ],
)
def test_wrong_settings_of_preferences_are_found_by_validate(tmp_path: Path, asked: str, said: str) -> None:
    study = tmp_path / "study.yaml"
    name, _, value = asked.partition("=")
    section, _, field = name.partition(".")
    fields = study_of(tmp_path, preference(tmp_path)).model_dump(mode="json", exclude_none=True)
    fields[section][field] = float(value) if value in "01" else value
    study.write_text(dump(fields))
    done = call("validate", study, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
