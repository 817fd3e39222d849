from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from peft import PeftModel
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from msplora_search import load_pyramid
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.checkpoints import identity, last_whole_checkpoint
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.training import train_recipe
from msplora_search.settings.document import dump
from msplora_search.settings.recipe import Recipe, load_recipe
from msplora_search.tasks.cache import CACHE_VARIABLE
from msplora_search.tasks.full_parts import prepare_full
from tests import program
from tests.program import PROGRAM, Finished
from tests.small import classifier, save_model, sentences, study_fields, tokenizer, write_jsonl

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
UNEVEN = Pyramid(2, [DepthGroup(0, 1, 2, 0), DepthGroup(1, 2, 1, 2)], ["query", "value"])


def recipe_fields(folder: Path, **changes: Any) -> dict[str, Any]:
    study = study_fields(folder)
    training = {"epochs": 3, "batch_size": 16, "learning_rate": 2e-2, **changes.pop("training", {})}
    fields = {
        "name": "small", "model": study["model"], "task": study["task"], "classes": ["bad", "good"],
        "pyramid": UNEVEN.to_json(), "training": training,
    }  # fmt: skip
    return {**fields, **changes}


def recipe_of(folder: Path, **changes: Any) -> Recipe:
    return Recipe.model_validate(recipe_fields(folder, **changes))


def write_recipe(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(dump(recipe_fields(folder, **changes)))
    return path


def losses(output: Path) -> list[float]:
    """Training losses as the newest checkpoint logged them."""
    newest = last_whole_checkpoint(output / "checkpoints")
    assert newest is not None
    log = json.loads((Path(newest) / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in log if "loss" in entry]


def test_batches_of_similar_length_change_no_row_of_the_judgement(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, training={"trainer": {"train_sampling_strategy": "group_by_length"}})
    trained = train_recipe(recipe, tmp_path / "out")
    task, test = trained.parts.task, trained.parts.test
    batch = task.collate(test, np.arange(len(test)))
    with torch.no_grad():
        expected = task.predict(trained.backbone.model, batch)
    assert trained.test.predictions.tolist() == expected.tolist()
    assert len(set(expected.tolist())) == 2  # another order would show


def test_tensorboard_gets_what_the_trainer_logs(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    train_recipe(recipe_of(tmp_path, training={"trainer": {"report_to": "tensorboard"}}), tmp_path / "out")
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    logged = [event.value for event in events.Scalars("train/loss")]
    assert logged == pytest.approx(losses(tmp_path / "out"))
    assert len(events.Scalars("eval/accuracy")) == 3


def test_what_is_delivered_is_what_was_trained(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    done = train_and_deliver(recipe, tmp_path / "out", with_merged=True)
    assert done is not None
    assert done.metric > 0.8
    assert done.interval[0] < done.metric < done.interval[1]
    assert done.apart <= 1e-5
    assert done.trained_params == UNEVEN.count({"query": (32, 32), "value": (32, 32)})
    assert done.unrolled_params == 2 * 64 * (4 + 5)
    assert done.stored_params == 2 * 64 * 2 * 5
    folder = tmp_path / "out" / "model"
    assert {p.name for p in folder.iterdir()} == {"pyramid", "peft", "merged", "README.md", "results.json"}
    assert {p.stat().st_mode for p in folder.rglob("*") if p.is_file()} == {
        (tmp_path / "data.jsonl").stat().st_mode
    }
    inputs = tokenizer()("a good film with lovely music", return_tensors="pt")
    tied = classifier(recipe.model).model
    load_pyramid(tied, folder / "pyramid")
    stock = PeftModel.from_pretrained(classifier(recipe.model).model, str(folder / "peft"))
    merged = AutoModelForSequenceClassification.from_pretrained(folder / "merged")
    with torch.no_grad():
        found = [model.eval()(**inputs).logits for model in (tied, stock, merged)]
    assert all((one - found[0]).abs().max() <= 1e-5 for one in found)
    card = (folder / "README.md").read_text()
    assert "base_model" not in yaml.safe_load(card.split("---")[1])  # a folder is no model of a hub
    assert f"{done.trained_params:,} (shared ones once)" in card


def test_a_delivered_recipe_is_not_trained_again(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, training={"epochs": 1})
    first = train_and_deliver(recipe, tmp_path / "out")
    shutil.rmtree(tmp_path / "model")
    assert train_and_deliver(recipe, tmp_path / "out") == first


def test_full_training_trains_on_all_but_the_test_rows(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    parts = prepare_full(recipe.task, recipe.classes, 0.1, tokenizer())
    rows = [set(part.rows.tolist()) for part in (parts.task.train, parts.task.validation, parts.test)]
    assert [len(r) for r in rows] == [360, 40, 100]
    assert set.union(*rows) == set(range(500))


def test_half_of_the_validation_rows_is_kept_where_a_rate_is_to_be_chosen(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    whole = prepare_full(recipe.task, recipe.classes, 0.1, tokenizer())
    parts = prepare_full(recipe.task, recipe.classes, 0.1, tokenizer(), choosing=True)
    assert whole.choosing is None
    assert parts.choosing is not None
    halves = parts.choosing.rows.tolist(), parts.task.validation.rows.tolist()
    assert [len(half) for half in halves] == [20, 20]
    assert sorted(halves[0] + halves[1]) == sorted(whole.task.validation.rows.tolist())
    assert parts.task.train.rows.tolist() == whole.task.train.rows.tolist()
    assert parts.test.rows.tolist() == whole.test.rows.tolist()
    with pytest.raises(InputError, match="2 validation rows are too few to choose learning rates by half of them"):
        prepare_full(recipe.task, recipe.classes, 0.001, tokenizer(), choosing=True)


def test_a_named_test_part_is_the_test_part(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "held.jsonl", sentences(30, seed=9))
    study = study_fields(tmp_path)
    source = {"path": study["task"]["dataset"], "test": str(tmp_path / "held.jsonl")}
    recipe = recipe_of(tmp_path, task={**study["task"], "dataset": source})
    parts = prepare_full(recipe.task, recipe.classes, 0.1, tokenizer())
    assert (len(parts.test), len(parts.task.train), len(parts.task.validation)) == (30, 450, 50)
    write_jsonl(tmp_path / "held.jsonl", [{"text": "x", "label": "odd"}])
    with pytest.raises(InputError, match=r"held.jsonl: row 1 of label column 'label' is 'odd'; the classes are"):
        prepare_full(recipe.task, recipe.classes, 0.1, tokenizer())


def test_the_state_of_a_checkpoint_is_only_what_trains(tmp_path: Path) -> None:
    train_recipe(recipe_of(tmp_path, training={"epochs": 1}), tmp_path / "out")
    newest = last_whole_checkpoint(tmp_path / "out" / "checkpoints")
    assert newest is not None
    assert (Path(newest) / "model.safetensors").stat().st_size < 10_000


def test_early_stopping_ends_training(tmp_path: Path) -> None:
    stubborn = {"epochs": 30, "learning_rate": 1e-8, "early_stopping": 2}
    train_recipe(recipe_of(tmp_path, training=stubborn), tmp_path / "out")
    newest = last_whole_checkpoint(tmp_path / "out" / "checkpoints")
    assert newest is not None
    assert json.loads((Path(newest) / "trainer_state.json").read_text())["epoch"] <= 5


def test_the_trainers_own_settings_work_as_its_users_know_them(tmp_path: Path) -> None:
    further = {"gradient_accumulation_steps": 2, "activation_checkpointing": True, "logging_steps": 1}
    model = save_model(tmp_path / "plain")
    config = json.loads((model / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (model / "config.json").write_text(json.dumps(config))
    for name, trainer in (("plain", {"logging_steps": 1}), ("further", further)):
        training = {"epochs": 1, "trainer": trainer}
        train_recipe(recipe_of(tmp_path, model=str(model), training=training), tmp_path / name)
    assert losses(tmp_path / "further") == pytest.approx(losses(tmp_path / "plain"), abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"training": {"trainer": {"gradient_acumulation_steps": 2}}},
            "did you mean 'gradient_accumulation_steps'",
        ),
        ({"training": {"trainer": {"seed": 2}}}, "training.trainer.seed follows from other fields"),
        ({"training": {"trainer": {"optim": "nothing"}}}, "training.trainer: "),
        ({"training": {"batch_size": 15, "trainer": {"gradient_accumulation_steps": 2}}}, "a multiple of the 2"),
        ({"pyramid": Pyramid.geometric(8, 6).to_json()}, "the pyramid has 6 layers, but the stack"),
        ({"pyramid": Pyramid.lora(2, 2, ["q_proj"]).to_json()}, "target 'q_proj' matches no linear module"),
        ({"classes": ["bad", "good", "odd"]}, r"has the classes \['bad', 'good'\], but the recipe"),
        ({"model": "/nowhere"}, "/nowhere is no folder"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        train_recipe(recipe_of(tmp_path, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\n", "recipe.yaml: model is missing"),
        ("nmae: a\n", "nmae is no known field; did you mean 'name'"),
        ("pyramid: {global_rank: 1}\n", "pyramid: pyramid lacks"),
    ],
)
def test_a_wrong_recipe_file_is_refused_by_field(tmp_path: Path, text: str, said: str) -> None:
    good = yaml.safe_load(write_recipe(tmp_path).read_text())
    (tmp_path / "recipe.yaml").write_text(text if "name: a" in text else dump({**good, **yaml.safe_load(text)}))
    with pytest.raises(InputError, match=said):
        load_recipe(tmp_path)


def test_checkpoints_of_another_recipe_are_refused_and_kept(tmp_path: Path) -> None:
    train_and_deliver(recipe_of(tmp_path, training={"epochs": 1}), tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="holds checkpoints of another recipe"):
        train_and_deliver(recipe_of(tmp_path, training={"epochs": 2}), tmp_path / "out")
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


def test_the_model_of_another_recipe_is_refused_without_its_checkpoints_too(tmp_path: Path) -> None:
    train_and_deliver(recipe_of(tmp_path, training={"epochs": 1}), tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "checkpoints")
    with pytest.raises(InputError, match="holds the model of another recipe"):
        train_and_deliver(recipe_of(tmp_path, training={"epochs": 2}), tmp_path / "out")


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    train_recipe(recipe_of(tmp_path), tmp_path / "out")
    folder = tmp_path / "out" / "checkpoints"
    newest = last_whole_checkpoint(folder)
    assert newest is not None
    for spoil in ("trainer_state.json", "optimizer.pt"):
        half = folder / "checkpoint-9999"
        shutil.copytree(newest, half)
        (half / spoil).unlink()
        assert last_whole_checkpoint(folder) == newest
        assert not half.exists()
    half = folder / "checkpoint-9999"
    shutil.copytree(newest, half)
    (half / "model.safetensors").write_bytes((half / "model.safetensors").read_bytes()[:200])
    assert last_whole_checkpoint(folder) == newest


def call(*words: object, limit: Callable[[], None] | None = None) -> Finished:
    """The program, or one that starts it."""
    if words[0] == PROGRAM:
        return program.call(*words[1:], limit=limit)
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.slow
def test_training_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    recipe = write_recipe(tmp_path, training={"epochs": 25, "trainer": {"logging_steps": 1}})
    calm = call(PROGRAM, "train", recipe, "--output", tmp_path / "calm")
    assert calm.returncode == 0, calm.stderr
    command = [str(PROGRAM), "train", str(recipe), "--output", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    waited = time.monotonic()
    while not list((tmp_path / "killed").glob("checkpoints/checkpoint-*")) and time.monotonic() < waited + 120:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "model").exists()
    again = call(*command)
    assert again.returncode == 0, again.stderr
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "calm"), abs=1e-4)
    results = [json.loads((tmp_path / n / "model" / "results.json").read_text()) for n in ("killed", "calm")]
    assert results[0]["metric"] == results[1]["metric"]


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe = write_recipe(tmp_path, training={"epochs": 2, "trainer": {"logging_steps": 2}})
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    one = call(PROGRAM, "train", recipe, "--output", tmp_path / "one")
    torchrun = PROGRAM.with_name("torchrun")
    words = ["--nproc_per_node", "2", "--master_port", str(29_000 + os.getpid() % 900)]
    two = call(torchrun, *words, PROGRAM, "train", recipe, "--output", tmp_path / "two")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert len(losses(tmp_path / "one")) == 22
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert (tmp_path / "two" / "model" / "peft" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_training_goes_on_later(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    recipe = write_recipe(tmp_path, training={"epochs": 2})
    warm = call(PROGRAM, "train", recipe, "--output", tmp_path / "warm")
    assert warm.returncode == 0

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    full = call(PROGRAM, "train", recipe, "--output", tmp_path / "out", limit=limit)
    assert full.returncode == 2, full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in full.stderr
    again = call(PROGRAM, "train", recipe, "--output", tmp_path / "out", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout[again.stdout.index("{\n") :])["trained_params"] == 896


def test_sentence_pairs_are_trained_and_delivered(tmp_path: Path) -> None:
    study = study_fields(tmp_path)
    rows = [{"a": row["text"], "b": "the film was", "label": row["label"]} for row in sentences(200)]
    pairs = write_jsonl(tmp_path / "pairs.jsonl", rows)
    task = {**study["task"], "dataset": str(pairs), "text": ["a", "b"]}
    done = train_and_deliver(recipe_of(tmp_path, task=task, training={"epochs": 1}), tmp_path / "out")
    assert done is not None
    assert done.apart <= 1e-5


def test_the_trainer_goes_on_from_what_peft_loads(tmp_path: Path) -> None:
    """The stock adapter is an ordinary one: it trains on in a Trainer that knows nothing of pyramids."""
    recipe = recipe_of(tmp_path, training={"epochs": 1})
    train_and_deliver(recipe, tmp_path / "out")
    folder = tmp_path / "out" / "model" / "peft"
    model = PeftModel.from_pretrained(classifier(recipe.model).model, str(folder), is_trainable=True)
    encoded = [tokenizer()(row["text"]) | {"labels": int(row["label"] == "good")} for row in sentences(64, seed=5)]
    arguments = TrainingArguments(
        str(tmp_path / "more"), num_train_epochs=2, learning_rate=1e-2, report_to="none", disable_tqdm=True,
        use_cpu=True, dataloader_pin_memory=False, logging_strategy="epoch",
    )  # fmt: skip
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer()), encoded)
    trainer.train()
    found = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert found[-1] < found[0]


@pytest.mark.slow
def test_accelerate_launches_it_unchanged(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    recipe = write_recipe(tmp_path, training={"epochs": 1})
    launch = [PROGRAM.with_name("accelerate"), "launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    more = ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    done = call(*launch, *more, PROGRAM, "train", recipe, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "agree within" in done.stdout


def test_dropout_of_the_adapters_is_in_training_alone_and_told(tmp_path: Path) -> None:
    model = save_model(tmp_path / "plain")
    config = json.loads((model / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (model / "config.json").write_text(json.dumps(config))
    found = {}
    for rate in (0.0, 0.3):
        training = {"epochs": 1, "lora_dropout": rate, "trainer": {"logging_steps": 1}}
        recipe = recipe_of(tmp_path, model=str(model), training=training)
        done = train_and_deliver(recipe, tmp_path / str(rate))
        assert done is not None
        assert done.apart <= 1e-5
        found[rate] = losses(tmp_path / str(rate))
        card = (tmp_path / str(rate) / "model" / "README.md").read_text()
        assert ("Trained with LoRA dropout 0.3, one mask" in card) == (rate > 0)
    assert found[0.0] != found[0.3]
    assert found[0.0][0] == found[0.3][0]  # B is zero in the first step


def test_a_recipe_without_dropout_has_the_identity_that_it_had(tmp_path: Path) -> None:
    fields = recipe_fields(tmp_path)
    assert identity(Recipe.model_validate(fields)) == identity(recipe_of(tmp_path, training={"lora_dropout": 0.0}))
    assert identity(Recipe.model_validate(fields)) != identity(recipe_of(tmp_path, training={"lora_dropout": 0.1}))
