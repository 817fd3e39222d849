"""Full training on preferences, by trl's trainer on a tied pyramid."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from msplora_search.adapters.bank import attach, bank_of
from msplora_search.adapters.switch import adapters_off
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.checkpoints import last_whole_checkpoint
from msplora_search.full.checks import check_study
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.trainers.dpo_trainer import preference_trainer
from msplora_search.full.training import train_recipe
from msplora_search.settings.document import dump
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import Backbone, load_backbone
from msplora_search.tasks.cache import CACHE_VARIABLE
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.processors import load_processor
from tests.full.test_training import call, losses
from tests.program import PROGRAM
from tests.small import write_jsonl
from tests.tasks.models import preferences, save_llama, study_of

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
PYRAMID = Pyramid.from_split((2, 1, 1), (0, 1, 2), ["q_proj", "v_proj"])


def fields(folder: Path, **changes: Any) -> dict[str, Any]:
    if not (folder / "model").is_dir():
        save_llama(folder / "model")
    data = write_jsonl(folder / "data.jsonl", preferences(200))
    task = {"kind": "preference", "dataset": str(data), "max_length": 24, **changes.pop("task", {})}
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 2e-2, **changes.pop("training", {})}
    known = {"name": "small", "model": str(folder / "model"), "task": task, "pyramid": PYRAMID.to_json()}
    return {**known, "training": training, **changes}


def recipe_of(folder: Path, **changes: Any) -> Recipe:
    return Recipe.model_validate(fields(folder, **changes))


def spoil(backbone: Backbone, value: float | None = None) -> None:
    """Adapters that do something; or that do `value` everywhere."""
    bank = attach(backbone.model, PYRAMID, trainable=backbone.head)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in bank.named_parameters():
            if name.endswith("B"):
                parameter.normal_(std=0.3) if value is None else parameter.fill_(value)


def made(folder: Path, **changes: Any) -> tuple[Any, Any, Any]:
    """A trainer of a model with adapters that do something, its task, and what it was given to train."""
    recipe = recipe_of(folder, **changes)
    tokenizer = load_processor(recipe)
    task = prepare_full(recipe.task, (), 0.1, tokenizer).task
    backbone = load_backbone(recipe, tokenizer, ())
    spoil(backbone)
    arguments: Any = DPOConfig(
        str(folder / "out"), beta=recipe.task.beta or 0.1, precompute_ref_log_probs=True,
        max_length=None, use_cpu=True,
        bf16=False, gradient_checkpointing=None,  # type: ignore[arg-type]
        remove_unused_columns=False, report_to="none",
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer: Any = preference_trainer(
        backbone.model,
        tokenizer,
        task,
        task.train,
        arguments,
        lambda _: {},
        None,
        lambda _: {},
        [],
        [],
        ValueError,
    )
    return trainer, task, trainer.train_dataset


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_loss_and_gradient_are_those_of_the_proxy(tmp_path: Path, beta: float) -> None:
    trainer, task, rows = made(tmp_path, task={"beta": beta})
    model: Any = trainer.model
    found = []
    batch = task.collate(task.train, np.arange(9))
    theirs = trainer.data_collator([rows[i] for i in range(9)])
    for loss in (task.loss(model, batch), trainer.compute_loss(model, theirs)):
        loss.backward()
        grads = [p.grad.clone() for p in bank_of(model).parameters() if p.grad is not None]
        found.append([loss.detach(), *grads])
        model.zero_grad()
    assert len(found[0]) == len(list(bank_of(model).parameters())) + 1
    for ours, one in zip(*found, strict=True):
        assert torch.allclose(ours, one, atol=2e-6, rtol=1e-4)
    assert found[0][0] != pytest.approx(np.log(2), abs=1e-3)


def test_references_are_those_that_trl_finds_without_the_adapters(tmp_path: Path) -> None:
    trainer, _, rows = made(tmp_path)
    inputs = trainer.data_collator([rows[i] for i in range(9)])
    theirs: Any = DPOTrainer
    with adapters_off(trainer.model):
        chosen, rejected = theirs.compute_ref_log_probs(trainer, trainer.model, inputs)
    assert torch.allclose(inputs["ref_chosen_logps"], chosen, atol=1e-4)
    assert torch.allclose(inputs["ref_rejected_logps"], rejected, atol=1e-4)


def test_what_is_delivered_is_what_was_trained(tmp_path: Path) -> None:
    done = train_and_deliver(recipe_of(tmp_path), tmp_path / "out", with_merged=True)
    assert done is not None
    assert done.metric > 0.9
    assert done.apart <= 1e-4
    assert done.trained_params == PYRAMID.count({"q_proj": (32, 32), "v_proj": (32, 16)})
    newest = last_whole_checkpoint(tmp_path / "out" / "checkpoints")
    assert newest is not None
    assert {path.name for path in Path(newest).iterdir()} >= {"model.safetensors", "optimizer.pt"}
    assert (Path(newest) / "model.safetensors").stat().st_size < 10_000
    peft = json.loads((tmp_path / "out" / "model" / "peft" / "adapter_config.json").read_text())
    assert peft["task_type"] == "CAUSAL_LM"
    assert "preference" in (tmp_path / "out" / "model" / "README.md").read_text()


def test_the_model_is_left_as_trl_found_it(tmp_path: Path) -> None:
    trained = train_recipe(recipe_of(tmp_path, training={"epochs": 1}), tmp_path / "out", quiet=True)
    model: Any = trained.backbone.model
    assert "forward" not in vars(model)
    assert not model._load_state_dict_post_hooks


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        training={"epochs": 3, "lora_dropout": 0.1, "trainer": {"save_total_limit": 5, "logging_steps": 1}},
    )
    whole = train_recipe(recipe, tmp_path / "whole", quiet=True)
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    for checkpoint in sorted(
        (tmp_path / "again" / "checkpoints").glob("checkpoint-*"), key=lambda p: -len(p.name)
    ):
        if checkpoint.name != "checkpoint-9":
            shutil.rmtree(checkpoint)
    again = train_recipe(recipe, tmp_path / "again", quiet=True)
    assert losses(tmp_path / "again") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)
    states = [bank_of(one.backbone.model).state() for one in (whole, again)]
    assert all(torch.allclose(states[1][name], one, atol=1e-5) for name, one in states[0].items())
    assert whole.test.metric == again.test.metric


def test_levels_take_turns_and_inputs_drop_out_here_too(tmp_path: Path) -> None:
    found = []
    for name, changes in (
        ("plain", {}),
        ("turns", {"optimization": "alternating", "interference": 2}),
        ("dropout", {"lora_dropout": 0.5}),
    ):
        training = {"epochs": 1, "trainer": {"logging_steps": 1}, **changes}
        train_recipe(recipe_of(tmp_path, training=training), tmp_path / name, quiet=True)
        found.append(losses(tmp_path / name))
    assert len({tuple(one) for one in found}) == 3
    assert len({one[0] for one in found}) == 1
    assert len((tmp_path / "turns" / "interference.jsonl").read_text().splitlines()) == 2


def test_a_loss_that_is_no_number_ends_training_in_a_line(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    with pytest.raises(InputError, match="training diverged: the loss is nan at step 1; lower") as caught:
        train_recipe(recipe, tmp_path / "out", quiet=True, adapt=lambda backbone: spoil(backbone, float("nan")))
    assert caught.value.field == "training.learning_rate"


def test_without_trl_training_is_refused_with_what_installs_it(tmp_path: Path, monkeypatch: Any) -> None:
    recipe = recipe_of(tmp_path)
    settings = study_of(tmp_path, recipe.task.model_dump(exclude_none=True))
    assert not [fact for fact in check_study(settings).facts if "trl" in fact]
    monkeypatch.setitem(sys.modules, "trl", None)  # as where it is not installed
    with pytest.raises(
        InputError, match=r"trl trains in full; it needs `pip install 'msplora-search\[preference\]'`"
    ):
        train_recipe(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = check_study(settings)
    assert not found.problems
    assert [fact for fact in found.facts if "pip install 'msplora-search[preference]'" in fact]


def test_a_quantised_base_is_refused(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, backbone={"quantization": "4bit"})
    with pytest.raises(InputError, match=r"backbone.quantization is 4bit, which transformers trains"):
        train_recipe(recipe, tmp_path / "out")


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(dump(fields(tmp_path, training={"epochs": 1, "trainer": {"logging_steps": 2}})))
    one = call(PROGRAM, "train", recipe, "--output", tmp_path / "one")
    words = ["--nproc_per_node", "2", "--master_port", str(28_000 + os.getpid() % 900)]
    two = call(PROGRAM.with_name("torchrun"), *words, PROGRAM, "train", recipe, "--output", tmp_path / "two")
    assert (one.returncode, two.returncode) == (0, 0), one.stderr + two.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert (tmp_path / "two" / "model" / "peft" / "adapter_model.safetensors").is_file()
