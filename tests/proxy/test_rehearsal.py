"""The step that is tried before a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy import attention
from msplora_search.proxy.workbench import Workbench
from msplora_search.search.study import run_study
from msplora_search.settings import StudySettings, load_study
from tests.small import WORDS, sentences, study_fields, tokenizer, write_jsonl, write_study
from tests.tasks.models import requests, save_t5, study_of

QV = ("query", "value")


def settings_of(folder: Path, **changes: Any) -> StudySettings:
    return StudySettings.model_validate(study_fields(folder, **changes))


def not_a_number(folder: Path) -> None:
    """One weight of the model is none."""
    file = folder / "model" / "model.safetensors"
    weights = load_file(file)
    weights["bert.encoder.layer.1.output.dense.weight"][3, 5] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("proxy", [{}, {"dropout": True}, {"precision": "bf16"}])
def test_it_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: dict[str, Any]) -> None:
    found = []
    for rehearsed in (True, False):
        if not rehearsed:
            monkeypatch.setattr("msplora_search.proxy.workbench.rehearse", lambda *_: None)
        bench = Workbench.load(settings_of(tmp_path, proxy={"epochs": 1, **proxy}))
        drawn, head = torch.get_rng_state(), [p.clone() for p in bench.backbone.head]
        curve = [(e.loss, e.metric, e.predictions.tolist()) for e in bench.measure(Pyramid.lora(2, 2, QV), 2e-2)]
        found.append((drawn, head, curve))
    (drawn, head, curve), (other_drawn, other_head, other_curve) = found
    assert torch.equal(drawn, other_drawn)
    assert all(torch.equal(one, other) for one, other in zip(head, other_head, strict=True))
    assert curve == other_curve


def test_it_leaves_the_model_bare(tmp_path: Path) -> None:
    bench = Workbench.load(settings_of(tmp_path))
    model = bench.backbone.model
    assert not hasattr(model, "pyramid_bank")
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(bench.backbone.head, bench.backbone.initial_head, strict=True))


def test_a_model_whose_loss_is_no_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    not_a_number(tmp_path)
    line = next(i for i, text in enumerate(study.read_text().splitlines(), 1) if text.startswith("model:"))
    with pytest.raises(InputError) as refused:
        run_study(load_study(str(study)), tmp_path / "out")
    assert str(refused.value) == (
        f"{study}:{line}: model {tmp_path / 'model'} (bert): cannot be trained in fp32: the loss of the first "
        "step is nan; take another model, or other space.targets"
    )
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_take_the_examples_is_refused(tmp_path: Path) -> None:
    """Pairs of texts have segments, and this BERT knows of one only."""
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=40, type_vocab_size=1,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    write_jsonl(tmp_path / "data.jsonl", [{**row, "more": "the film"} for row in sentences(60)])
    with pytest.raises(
        InputError, match=r"model .* \(bert\): cannot be trained in fp32: index out of range"
    ) as refused:
        Workbench.load(settings_of(tmp_path, task={"text": ["text", "more"]}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"proxy": {"precision": "bf16"}}, "try proxy.precision=fp32"),
        ({"backbone": {"dtype": "bf16"}}, "try backbone.dtype=fp32"),
    ],
)
def test_what_fails_in_bf16_only_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], advice: str
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("mixed dtype (CPU)\nexpect Float")

    monkeypatch.setattr(attention, "_additive", fails)
    said = rf"\(bert\): cannot be trained in bf16: mixed dtype \(CPU\) expect Float; {advice}$"
    with pytest.raises(InputError, match=said):
        Workbench.load(settings_of(tmp_path, **changes))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: not enough memory: 9")],
)
def test_too_little_memory_is_told_with_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr("msplora_search.tasks.task.Task.loss", fails)
    with pytest.raises(
        InputError, match=r"a step of one example does not fit into the memory of cpu; lower task.max"
    ):
        Workbench.load(settings_of(tmp_path))


def test_an_answer_that_is_generated_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_t5(tmp_path / "model")
    data = write_jsonl(tmp_path / "data.jsonl", requests(60))

    def fails(*_: Any) -> None:
        raise ValueError("cannot generate")

    monkeypatch.setattr("msplora_search.tasks.seq2seq_lm.answer", fails)
    with pytest.raises(InputError, match=r"\(t5\): cannot be trained in fp32: cannot generate"):
        Workbench.load(study_of(tmp_path, {"kind": "seq2seq-lm", "dataset": str(data), "metric": "exact-match"}))
