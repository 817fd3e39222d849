"""Pairs of responses: what is read, the loss of DPO, and where its references come from."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor

from msplora_search.adapters.bank import attach, bank_of, detach
from msplora_search.adapters.switch import adapters_off
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.room import Room
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from msplora_search.tasks.preference import Preference, Preferences
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task, prepare
from tests.small import write_jsonl
from tests.tasks.models import preferences, save_llama, study_of, word_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
PREFERENCE: dict[str, Any] = {"kind": "preference", "max_length": 24}


def study(folder: Path, chat: bool = True, **task: Any) -> StudySettings:
    save_llama(folder / "model", chat)
    if "dataset" not in task:
        task["dataset"] = str(write_jsonl(folder / "data.jsonl", preferences(300)))
    return study_of(folder, {**PREFERENCE, **task})


def prepared(settings: StudySettings) -> Task:
    return prepare(settings, load_processor(settings))


def texts(task: Task, row: int) -> list[tuple[str, str]]:
    """Of both responses of a row: the whole text, and what is asked for."""
    examples = task.train.corpus.examples
    assert isinstance(examples, Preferences)
    inputs, targets = task.kind.collate(examples, np.array([row]), np.ones(1))
    assert inputs["input_ids"].shape[:2] == (1, 2)
    assert targets.tolist() == [1]
    found = []
    for ids, mask, labels in zip(*(inputs[n][0] for n in ("input_ids", "attention_mask", "labels")), strict=True):
        words = word_tokenizer().decode(ids[mask.bool()])
        found.append((str(words), str(word_tokenizer().decode(labels[labels >= 0]))))
    return found


def trained(folder: Path, **task: Any) -> tuple[Workbench, Any]:
    """A model with adapters that do something, and a batch."""
    bench = Workbench.load(study(folder, **task))
    bank = attach(bench.backbone.model, Pyramid.geometric(4, 2, 1, ("q_proj", "v_proj")), trainable=())
    torch.manual_seed(1)
    with torch.no_grad():
        for adapter in bank.adapters:
            adapter.B.normal_(std=0.3)  # type: ignore[operator]
    bench.backbone.model.eval()
    return bench, bench.task.collate(bench.task.train, np.arange(7))


def by_hand(model: Any, batch: Any, row: int) -> Tensor:
    """Log-probabilities of both responses of an example, token by token: (2,)."""
    found = []
    for place in range(2):
        ids = batch.inputs["input_ids"][row, place][batch.inputs["attention_mask"][row, place].bool()]
        labels = batch.inputs["labels"][row, place]
        scores = F.log_softmax(model(input_ids=ids[None]).logits[0].float(), dim=-1)
        found.append(sum(scores[i - 1, ids[i]] for i in range(len(ids)) if labels[i] >= 0))
    return torch.stack([torch.as_tensor(one) for one in found])


# What is read


def test_both_responses_stand_behind_the_prompt_in_the_chat_template(tmp_path: Path) -> None:
    task = prepared(study(tmp_path))
    row = preferences(300)[0]
    head = f"user : {row['prompt']} assistant :"
    assert texts(task, 0) == [(f"{head} {row[name]} </s>", f"{row[name]} </s>") for name in ("chosen", "rejected")]


def test_a_template_takes_the_prompt(tmp_path: Path) -> None:
    task = prepared(study(tmp_path, chat=False, template="user : {prompt} :"))
    row = preferences(300)[0]
    assert texts(task, 0)[1] == (f"user : {row['prompt']} : {row['rejected']} </s>", f"{row['rejected']} </s>")


def as_chats(row: dict[str, Any], how: str) -> dict[str, Any]:
    asked = [{"role": "user", "content": row["prompt"]}]
    said = {name: [{"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")}
    match how:
        case "whole":
            return {name: [*asked, *answer] for name, answer in said.items()}
        case "prompt of messages":
            return {"prompt": asked, **said}
        case _:
            return {"prompt": row["prompt"], **said}


@pytest.mark.parametrize("how", ["whole", "prompt of messages", "prompt of text"])
def test_chats_are_read_as_texts_are(tmp_path: Path, how: str) -> None:
    rows = [as_chats(row, how) for row in preferences(300)]
    data = write_jsonl(tmp_path / "chats.jsonl", rows)
    ours, plain = prepared(study(tmp_path, dataset=str(data))), prepared(study(tmp_path))
    assert [texts(ours, row) for row in range(5)] == [texts(plain, row) for row in range(5)]


ODD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"chosen": "better"}, "task.chosen is 'better', no such column"),
    ({}, {"rejected": "worse"}, "task.rejected is 'worse', no such column"),
    ({"chosen": " "}, {}, "row 3 of column 'chosen' is empty; it must be text"),
    ({"rejected": [1]}, {}, "row 3 of column 'rejected' is .1.; it must be text"),
    ({}, {"template": "{prompt"}, "task.template: "),
]


@pytest.mark.parametrize(("cells", "task", "said"), ODD)
def test_what_cannot_be_read_is_named(tmp_path: Path, cells: Any, task: dict[str, Any], said: str) -> None:
    rows = preferences(40)
    rows[2].update(cells)
    data = write_jsonl(tmp_path / "odd.jsonl", rows)
    with pytest.raises(InputError, match=said):
        prepared(study(tmp_path, dataset=str(data), **task))


USER, ANSWER = {"role": "user", "content": "say red"}, {"role": "assistant", "content": "red"}
ODD_CHATS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"rejected": [{**USER, "content": "say blue"}, ANSWER]}, {}, "row 1 of column 'rejected' has other messages"),
    (
        {"rejected": [ANSWER, USER]},
        {},
        "row 1 of column 'rejected' is .* ends with an answer of the role assistant",
    ),
    ({"chosen": [ANSWER], "rejected": [ANSWER], "prompt": ""}, {}, "row 1 of column 'prompt' is '';"),
    ({}, {"template": "{prompt}"}, "task.template is for texts"),
]


@pytest.mark.parametrize(("cells", "task", "said"), ODD_CHATS)
def test_chats_that_are_no_pair_are_named(tmp_path: Path, cells: Any, task: dict[str, Any], said: str) -> None:
    rows = [{"prompt": "say red", **as_chats(row, "whole")} for row in preferences(40)]
    rows[0].update(chosen=[USER, ANSWER], rejected=[USER, {**ANSWER, "content": "blue"}])
    rows[0].update(cells)
    data = write_jsonl(tmp_path / "odd.jsonl", rows)
    with pytest.raises(InputError, match=said):
        prepared(study(tmp_path, dataset=str(data), **task))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"beta": 0}, "greater than 0"),
        ({"beta": "much"}, "beta"),
        ({"metric": "exact-match"}, "which preference does not have; it has reward-accuracy, loss"),
        ({"response": "chosen"}, "is not read by preference, which reads prompt, chosen, rejected"),
        ({"messages": "chat"}, "is not read by preference"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, task: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        study(tmp_path, **task)


def test_beta_is_of_preferences_alone() -> None:
    with pytest.raises(ValueError, match="is not read by causal-lm"):
        study_of(Path("x"), {"kind": "causal-lm", "dataset": "x", "beta": 0.2})


def test_both_responses_keep_the_same_prompt_where_it_is_cut(tmp_path: Path) -> None:
    rows = preferences(60)
    rows[0]["chosen"] = "red " * 15
    rows[1].update(chosen="red " * 90, prompt="say " * 30)
    rows[2]["rejected"] = rows[2]["chosen"]
    data = write_jsonl(tmp_path / "long.jsonl", rows)
    task = prepared(study(tmp_path, dataset=str(data), max_length=20))
    for row in range(2):
        prompts = {whole.removesuffix(asked) for whole, asked in texts(task, row)}
        assert len(prompts) == 1
        assert max(len(whole.split()) for whole, _ in texts(task, row)) == 20
    assert (
        "2 of 60 prompts lose their beginning and 1 of 60 responses lose their end to fit 20 tokens" in task.note
    )
    assert "1 of 60 rows have one response as chosen and rejected, and teach nothing" in task.note


# What is computed


@torch.no_grad()
def test_loss_and_reward_accuracy_are_those_of_the_paper(tmp_path: Path) -> None:
    bench, batch = trained(tmp_path, beta=0.3)
    model, task = bench.backbone.model, bench.task
    policy = torch.stack([by_hand(model, batch, row) for row in range(7)])
    detach(model)
    reference = torch.stack([by_hand(model, batch, row) for row in range(7)])
    margins = 0.3 * ((policy - reference)[:, 0] - (policy - reference)[:, 1])
    assert margins.abs().min() > 0.01
    bench, batch = trained(tmp_path, beta=0.3)
    model, task = bench.backbone.model, bench.task
    assert float(task.loss(model, batch)) == pytest.approx(float(-F.logsigmoid(margins).mean()), rel=1e-4)
    assert task.predict(model, batch).tolist() == (margins > 0).float().tolist()
    by_loss = replace(task.kind, settings=task.kind.settings.model_copy(update={"metric": "loss"}))  # type: ignore[type-var]
    found = replace(task, kind=by_loss).predict(model, batch)
    assert found == pytest.approx((-F.logsigmoid(margins)).numpy(), rel=1e-4)


@torch.no_grad()
def test_a_model_without_adapters_prefers_neither(tmp_path: Path) -> None:
    bench = Workbench.load(study(tmp_path))
    batch = bench.task.collate(bench.task.train, np.arange(7))
    model = bench.backbone.model.eval()
    assert float(bench.task.loss(model, batch)) == pytest.approx(math.log(2), abs=1e-6)
    assert bench.task.chance == 0.5
    one = replace(batch, inputs={k: v[:1] for k, v in batch.inputs.items()}, rows=batch.rows[:1])
    same = {
        name: torch.stack([tensor[:, 0]] * 2, dim=1) if tensor.dim() == 3 else tensor + 1
        for name, tensor in one.inputs.items()
    }
    assert bench.task.predict(model, replace(one, inputs=same)).tolist() == [0.5]


@torch.no_grad()
def test_a_reference_is_computed_once_and_depends_on_no_other_example_and_no_pyramid(tmp_path: Path) -> None:
    bench, batch = trained(tmp_path)
    model, kind = bench.backbone.model, bench.task.kind
    assert isinstance(kind, Preference)
    kind.known.clear()
    calls: list[int] = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    first = kind.referred(model, batch).inputs["reference"]
    keys = len(set(batch.inputs["key"].tolist()))
    assert len(calls) == keys
    assert torch.equal(kind.referred(model.train(), batch).inputs["reference"], first)
    assert len(calls) == keys
    assert model.training
    handle.remove()
    kind.known.clear()
    bank_of(model).reset(5)
    for part in list(batch.parts(2))[::-1]:
        kind.referred(model, part)
    assert torch.equal(kind.referred(model, batch).inputs["reference"], first)
    detach(model)
    kind.known.clear()
    assert torch.equal(kind.referred(model, batch).inputs["reference"], first)


@torch.no_grad()
def test_adapters_that_are_off_are_on_again_afterwards(tmp_path: Path) -> None:
    bench, _ = trained(tmp_path)
    model, ids = bench.backbone.model, torch.tensor([[4, 6, 7, 8, 9, 11]])
    on = model(input_ids=ids).logits
    with adapters_off(model):
        off = model(input_ids=ids).logits
    with contextlib.suppress(KeyError), adapters_off(model):
        raise KeyError
    assert torch.equal(model(input_ids=ids).logits, on)
    detach(model)
    assert torch.equal(model(input_ids=ids).logits, off)
    assert not torch.equal(on, off)


@torch.no_grad()
def test_an_adapter_of_peft_is_off_too(tmp_path: Path) -> None:
    bench = Workbench.load(study(tmp_path))
    ids, base = torch.tensor([[4, 6, 7, 8, 9, 11]]), bench.backbone.model.eval()
    plain = base(input_ids=ids).logits
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).eval()
    assert not torch.equal(model(input_ids=ids).logits, plain)
    with adapters_off(model):
        assert torch.equal(model(input_ids=ids).logits, plain)
    assert not torch.equal(model(input_ids=ids).logits, plain)


def test_parts_of_a_batch_have_together_its_loss_and_gradient(tmp_path: Path) -> None:
    bench, batch = trained(tmp_path)
    model, precision = bench.backbone.model, Precision(torch.float32, torch.device("cpu"))
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = []
    for size in (7, 2, 1):
        loss = Room(examples=size).differentiate(model, bench.task, batch, precision, parameters)
        found.append([loss, *(p.grad.clone() for p in parameters if p.grad is not None)])
        for parameter in parameters:
            parameter.grad = None
    assert len(found[0]) == len(parameters) + 1
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(("name", "floor"), [("reward-accuracy", 0.9), ("loss", -0.5)])
def test_learning_is_seen_in_every_metric(tmp_path: Path, name: str, floor: float) -> None:
    bench = Workbench.load(study(tmp_path, metric=name))
    (_, last) = bench.measure(Pyramid.lora(8, bench.layers, bench.space().targets[0]), 2e-2)
    assert bench.task.chance < floor < last.metric
    assert last.metric == pytest.approx(bench.task.metric.score(bench.task.validation.truth, last.predictions))
