"""Every architecture as a search trains it, in every precision that a search may have."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from msplora_search.adapters.bank import attach
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy import attention
from msplora_search.proxy.choices import dissect_choices
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import Evaluation
from msplora_search.tasks.backbone import bare_model
from msplora_search.tasks.processors import load_processor
from tests.adapters.architectures import ARCHITECTURES, Architecture
from tests.adapters.models import train_a_little
from tests.small import write_jsonl
from tests.tasks.models import requests, stripes, study_of, word_tokenizer

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])
CPU = torch.device("cpu")
QV = ("query", "value")
BF16_ROUNDING = 0.03
"""Through three layers, of which each rounds to 8 bits."""
OF_THEIR_OWN = {"deberta-v2", "mpnet"}
"""Attention that transformers cannot exchange."""
PADDING = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def save(architecture: Architecture, folder: Path) -> None:
    """The model as a folder, with words as tokens or an image processor."""
    model: Any = architecture.make()
    model.save_pretrained(folder)
    if architecture.task_type is None:
        ViTImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(folder)
    else:
        word_tokenizer(chat=True, ends=architecture.task_type != "CAUSAL_LM").save_pretrained(folder)


def task_of(architecture: Architecture, folder: Path) -> dict[str, Any]:
    """The kind of task that the architecture is there for, on data that it can learn from."""
    if architecture.task_type is None:
        return {"kind": "image-classification", "dataset": str(_images(folder / "data"))}
    rows = [{**row, "label": row["response"].split()[0]} for row in requests(96)]
    data = write_jsonl(folder / "data.jsonl", rows)
    if architecture.task_type == "SEQ_CLS":
        return {"kind": "text-classification", "dataset": str(data), "text": "prompt"}
    kind = "causal-lm" if architecture.task_type == "CAUSAL_LM" else "seq2seq-lm"
    return {"kind": kind, "dataset": str(data), "max_length": 24}


def _images(folder: Path) -> Path:
    for i, (image, label) in enumerate(stripes(96)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        image.save(folder / label / f"{i}.png")
    return folder


def bench_of(
    architecture: Architecture, precision: str, folder: Path, backbone: dict[str, Any] | None = None, **task: Any
) -> Workbench:
    save(architecture, folder / "model")
    proxy = {"precision": precision, "train_examples": 32, "validation_examples": 16}
    fields = {"space": {"targets": [list(QV)]}, "proxy": proxy, "backbone": backbone or {}}
    return Workbench.load(study_of(folder, {**task_of(architecture, folder), **task}, **fields))


def ends_of(bench: Workbench) -> tuple[Evaluation, Evaluation]:
    """Of one proxy, half-way and at its end."""
    pyramid = Pyramid.from_split((2, 1, 1), (0, 1, bench.layers), bench.space().targets[0])
    first, last = bench.measure(pyramid, 1e-2)
    return first, last


@every_precision
@every_architecture
def test_a_search_trains_it(architecture: Architecture, precision: str, tmp_path: Path) -> None:
    bench = bench_of(architecture, precision, tmp_path)
    assert bench.precision.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
    first, last = ends_of(bench)
    assert last.loss < first.loss
    assert math.isfinite(last.metric)


@every_architecture
def test_it_is_taken_apart_without_its_weights(architecture: Architecture, tmp_path: Path) -> None:
    save(architecture, tmp_path / "model")
    data = task_of(architecture, tmp_path)
    settings = study_of(tmp_path, data, space={"targets": [list(QV)]})
    (found,) = dissect_choices(settings, bare_model(settings, load_processor(settings), ("a", "b"))).values()
    assert dict(found.stacks) == architecture.stacks
    assert found.targets == architecture.targets


@every_precision
@pytest.mark.parametrize("name", ["t5", "mt5", "umt5", "mbart", "m2m-100", "llama"])
def test_it_is_generated_from(name: str, precision: str, tmp_path: Path) -> None:
    architecture = next(one for one in ARCHITECTURES if one.name == name)
    first, last = ends_of(bench_of(architecture, precision, tmp_path, metric="exact-match"))
    assert last.loss < first.loss
    assert 0 <= last.metric <= 1


@pytest.mark.parametrize("name", ["t5", "umt5"])
def test_activations_computed_again_change_nothing_in_bf16(name: str, tmp_path: Path) -> None:
    """The position bias requires a gradient then, which it has no use for."""
    architecture = next(one for one in ARCHITECTURES if one.name == name)
    (tmp_path / "again").mkdir()
    kept = ends_of(bench_of(architecture, "bf16", tmp_path))
    again = ends_of(bench_of(architecture, "bf16", tmp_path / "again", {"gradient_checkpointing": True}))
    assert [e.loss for e in again] == pytest.approx([e.loss for e in kept], rel=BF16_ROUNDING)


@every_architecture
def test_logits_in_bf16_are_those_of_fp32_and_of_the_usual_attention(
    architecture: Architecture, attended: list[str]
) -> None:
    model: Any = architecture.make()
    bank = attach(model, Pyramid.from_split((2, 1, 1), (0, 1, max(architecture.stacks.values())), QV))
    train_a_little(bank, size=0.05)
    exact = logits(model, architecture, Precision.named("fp32", CPU))
    half = Precision.named("bf16", CPU)
    half.prepare(model, [p for p in model.parameters() if p.requires_grad])
    usual = copy.deepcopy(model)
    exchanged = model.config._attn_implementation == attention.NAME
    assert exchanged == (architecture.name not in OF_THEIR_OWN)
    assert far_apart(logits(model, architecture, half), exact) < BF16_ROUNDING
    assert set(attended) == ({"short"} if exchanged else set())
    if exchanged:
        usual.set_attn_implementation("sdpa")
        assert far_apart(logits(model, architecture, half), logits(usual, architecture, half)) < BF16_ROUNDING


@torch.no_grad()
def logits(model: nn.Module, architecture: Architecture, precision: Precision) -> Tensor:
    """(batch, classes) or (batch, tokens, words), with padding where there are texts; zero for padding."""
    inputs = architecture.inputs()
    if architecture.task_type is not None:
        inputs["attention_mask"] = PADDING
    with precision.evaluation():
        found: Tensor = model.eval()(**inputs).logits.float()
    return found * PADDING[..., None] if architecture.task_type == "CAUSAL_LM" else found


def far_apart(one: Tensor, other: Tensor) -> float:
    """The difference by the size of what it is the difference of."""
    return float((one - other).norm() / other.norm())


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which attention computed, call by call: the short one, or torch's kernel in its place."""
    calls: list[str] = []

    def telling(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            calls.append(name)
            return function(*arguments)

        return call

    monkeypatch.setattr(attention, "_additive", telling("short", attention._additive))
    monkeypatch.setattr(attention, "_by_torch", telling("torch", attention._by_torch))
    return calls
