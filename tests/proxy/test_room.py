"""What does not fit into memory is computed in parts, and comes out the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from msplora_search.adapters.bank import attach, detach
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.batching import Batches
from msplora_search.proxy.room import Room
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from tests.proxy.test_training import ONE, OTHER, bench_of, curve
from tests.small import save_model, sentences, study_fields, write_jsonl
from tests.tasks.models import NAMES, save_llama, save_t5, study_of

ROOT = Path(__file__).parents[2]
BEYOND = 2**60
"""Bytes that no machine has."""


@dataclass
class Narrow:
    """Lets the real allocator refuse where a model is given more than `most` examples at once."""

    most: int
    sizes: list[int] = field(default_factory=list)
    """Of the batches that it was given."""
    after: int = 0
    """Batches before which all fits."""
    in_backward: bool = False
    training: bool = True
    """Whether it is training that does not fit, or else evaluation."""

    def before(self, _: Any, __: Any, named: dict[str, Any]) -> None:
        if torch.is_grad_enabled() != self.training:
            return
        self.sizes.append(len(named["input_ids"]))
        if self.refuses and not self.in_backward:
            torch.empty(BEYOND, dtype=torch.uint8)

    def behind(self, _: Any, __: Any, output: Any) -> None:
        if torch.is_grad_enabled() and self.in_backward and self.refuses:
            output.register_hook(lambda _: torch.empty(BEYOND, dtype=torch.uint8))

    @property
    def refuses(self) -> bool:
        return len(self.sizes) > self.after and self.sizes[-1] > self.most


@contextmanager
def narrow(bench: Workbench, most: int, **how: Any) -> Iterator[Narrow]:
    found, model = Narrow(most, **how), bench.backbone.model
    embedding: Any = model.get_submodule("bert.encoder.layer.0.output") if how.get("in_backward") else model
    handles = [
        model.register_forward_pre_hook(found.before, with_kwargs=True),
        embedding.register_forward_hook(found.behind),
    ]
    yield found
    for handle in handles:
        handle.remove()


def classes(folder: Path) -> Workbench:
    return bench_of(folder)


def numbers(folder: Path) -> Workbench:
    save_model(folder / "model")
    rows = [{**row, "label": len(row["text"]) / 10} for row in sentences(100)]
    data = write_jsonl(folder / "data.jsonl", rows)
    return Workbench.load(study_of(folder, {"kind": "text-regression", "dataset": str(data)}))


def language(folder: Path, kind: str) -> Workbench:
    """Responses of one to four words, so that parts of a batch have unequal shares in its mean."""
    (save_llama if kind == "causal-lm" else save_t5)(folder / "model")
    rows = [{"prompt": f"say {NAMES[i % 4]}", "response": "red " * (1 + i % 4)} for i in range(160)]
    data = write_jsonl(folder / "data.jsonl", rows)
    return Workbench.load(study_of(folder, {"kind": kind, "dataset": str(data), "metric": "loss"}))


def gradients(bench: Workbench, room: Room, places: np.ndarray[Any, Any]) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of a batch, at adapters that are not zero."""
    model, task = bench.backbone.model, bench.task
    bench.backbone.reset_head()
    attach(model, Pyramid.lora(2, bench.layers, bench.space().targets[0]), trainable=bench.backbone.head)
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        with torch.no_grad():
            for i, parameter in enumerate(parameters):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) / 10)
        loss = room.differentiate(model, task, task.collate(task.train, places), bench.precision, parameters)
        found = [p.grad.clone() for p in parameters if p.grad is not None]
        assert len(found) == len(parameters)
        return loss, found
    finally:
        for parameter in parameters:
            parameter.grad = None
        detach(model)


@pytest.mark.parametrize("kind", ["classes", "numbers", "causal-lm", "seq2seq-lm"])
def test_the_gradient_of_a_batch_in_parts_is_that_of_the_whole(tmp_path: Path, kind: str) -> None:
    makers = {"classes": classes, "numbers": numbers}
    bench = makers[kind](tmp_path) if kind in makers else language(tmp_path, kind)
    places = np.arange(13)
    loss, whole = gradients(bench, Room(), places)
    for size in (6, 4, 1):
        other, parts = gradients(bench, Room(size), places)
        assert float(other) == pytest.approx(float(loss), rel=1e-5)
        largest = max(float(gradient.abs().max()) for gradient in whole)
        for one, two in zip(whole, parts, strict=True):
            assert torch.allclose(one, two, atol=1e-5 * largest, rtol=1e-4)


@pytest.mark.parametrize("in_backward", [False, True])
def test_a_training_goes_on_from_the_step_that_did_not_fit(tmp_path: Path, in_backward: bool) -> None:
    bench = bench_of(tmp_path, proxy={"epochs": 1, "rungs": [1.0]})
    trained: list[list[Tensor]] = []
    heard: list[str] = []
    bench.room.tell = heard.append

    def train() -> float:
        losses = []
        for evaluation in bench.measure(ONE, 2e-3):
            trained.append(weights(bench))
            losses.append(evaluation.loss)
        (loss,) = losses
        return loss

    loss = train()
    with narrow(bench, 5, after=10, in_backward=in_backward) as memory:
        assert train() == pytest.approx(loss, rel=1e-4)
        assert memory.sizes == [16] * 10 + [16, 8] + [4] * 4 * 6
        memory.sizes.clear()
        assert train() == pytest.approx(loss, rel=1e-4)
        assert memory.sizes == [4] * 4 * 16
    assert heard == ["out of memory: micro-batches of 4"]
    assert bench.room.notes == heard
    for one, *others in zip(*trained, strict=True):
        assert all(torch.allclose(one, other, atol=1e-4) for other in others)


def weights(bench: Workbench) -> list[Tensor]:
    return [p.detach().clone() for p in bench.backbone.model.parameters() if p.requires_grad]


def test_where_not_even_one_example_fits_the_trial_fails_and_says_so(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    with narrow(bench, 0) as memory, pytest.raises(MemoryError) as caught:
        curve(bench, ONE)
    assert str(caught.value).startswith("not even a single example fits: ")
    assert "allocate memory" in str(caught.value)
    assert memory.sizes == [16, 8, 4, 2, 1]
    assert not hasattr(bench.backbone.model, "pyramid_bank")
    assert all(p.grad is None for p in bench.backbone.model.parameters())
    assert bench.room.notes == []
    assert len(curve(bench, OTHER)) == 2


def test_what_fails_otherwise_is_not_tried_again(tmp_path: Path) -> None:
    bench, called = bench_of(tmp_path), list[int]()

    def broken(*_: Any) -> None:
        called.append(1)
        torch.ones(2, 3) @ torch.ones(2, 3)

    with bench.backbone.model.register_forward_pre_hook(broken), pytest.raises(RuntimeError, match="shapes"):
        curve(bench, ONE)
    assert called == [1]


def test_batches_of_an_evaluation_are_cut_and_give_the_same(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    heard: list[str] = []
    bench.room.tell = heard.append
    whole = curve(bench, ONE)
    assert [len(batch) for batch in bench.batches.validation] == [144]
    with narrow(bench, 40, training=False) as memory:
        for _ in range(2):
            for one, other in zip(whole, curve(bench, ONE), strict=True):
                assert one.loss == other.loss
                assert np.array_equal(one.predictions, other.predictions)
    assert memory.sizes == [144, 72, *[36] * 4, *[36] * 4 * 3]
    assert heard == ["out of memory: batches of an evaluation in 4 parts"]


def test_one_batch_that_is_cut_does_not_cut_the_short_ones_to_its_size(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    task, model = bench.task, bench.backbone.model
    batches = Batches(task, task.validation, (np.arange(100), np.arange(100, 144)))
    with narrow(bench, 50, training=False) as memory, bench.precision.evaluation():
        for batch in batches:
            bench.room.predict(model, task, batch, bench.precision)
    assert memory.sizes == [100, 50, 50, 22, 22]


def test_what_the_rehearsal_finds_too_much_is_not_tried_by_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = type(classes(tmp_path).task).loss

    def tight(self: Any, model: Any, batch: Any) -> Tensor:
        torch.empty(BEYOND if len(batch) > 4 else 1, dtype=torch.uint8)
        return loss(self, model, batch)

    monkeypatch.setattr("msplora_search.tasks.task.Task.loss", tight)
    bench = bench_of(tmp_path)
    assert bench.room.notes == ["out of memory: micro-batches of 4"]


LIMITED = """
import json, re, resource, sys
from pathlib import Path
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from tests.proxy.test_training import ONE
bench = Workbench.load(StudySettings.model_validate(json.loads(sys.argv[1])))
(free,) = bench.measure(ONE, 2e-3)
taken = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + 150 * 2**20, resource.RLIM_INFINITY))
(narrow,) = bench.measure(ONE, 2e-3)
print(json.dumps([free.loss, narrow.loss, free.metric, narrow.metric, bench.room.examples, bench.room.cuts]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_under_a_real_limit_a_training_comes_to_its_end(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    from tests.small import WORDS, tokenizer

    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8192, max_position_embeddings=40, pad_token_id=0,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    proxy = {"batch_size": 256, "epochs": 2, "rungs": [1.0]}
    fields = StudySettings.model_validate(study_fields(tmp_path, proxy=proxy)).model_dump(mode="json")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(fields)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    loss, narrow_loss, metric, narrow_metric, examples, cuts = json.loads(done.stdout)
    assert narrow_loss == pytest.approx(loss, rel=1e-4)
    assert narrow_metric == pytest.approx(metric, abs=0.02)
    assert 1 <= examples <= 128
    assert cuts > 1
