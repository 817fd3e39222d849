"""The gradient of examples that are one another's negatives, where they do not fit into memory at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.room import Room
from msplora_search.proxy.workbench import Workbench
from tests.proxy.test_room import gradients, narrow, weights
from tests.tasks.embedded import embedding_of, pairs, scored

DATA: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "pairs": (pairs(160), {}),
    "triplets": (pairs(160, texts=3), {"text": ["anchor", "positive", "negative"]}),
    "scores": (scored(160), {"label": "score"}),
}


def bench_of(folder: Path, data: str = "pairs", **changes: Any) -> Workbench:
    rows, task = DATA[data]
    settings = embedding_of(folder, rows, **task)
    proxy = settings.proxy.model_copy(update={"epochs": 1, "rungs": (1.0,), **changes})
    return Workbench.load(settings.model_copy(update={"proxy": proxy}))


def close(one: list[Tensor], other: list[Tensor]) -> bool:
    largest = max(float(gradient.abs().max()) for gradient in one)
    assert largest > 0
    return all(torch.allclose(a, b, atol=1e-5 * largest, rtol=1e-4) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("data", list(DATA))
def test_the_gradient_in_parts_is_that_of_the_whole_batch(tmp_path: Path, data: str) -> None:
    bench, places = bench_of(tmp_path, data), np.arange(13)
    loss, whole = gradients(bench, Room(), places)
    for size in (6, 4, 1):
        other, parts = gradients(bench, Room(size), places)
        assert float(other) == pytest.approx(float(loss), rel=1e-5)
        assert close(whole, parts)


def test_the_mean_over_parts_would_be_another_gradient(tmp_path: Path) -> None:
    bench, places = bench_of(tmp_path), np.arange(12)
    _, whole = gradients(bench, Room(), places)
    halves = [gradients(bench, Room(), places[of])[1] for of in (slice(6), slice(6, 12))]
    means = [(one + other) / 2 for one, other in zip(*halves, strict=True)]
    assert not close(whole, means)


def test_dropout_is_drawn_the_same_both_times(tmp_path: Path) -> None:
    """Else a gradient would be led back through another model than the loss was of."""
    bench = bench_of(tmp_path, dropout=True)
    model, task = bench.backbone.model.train(), bench.task
    seen: list[Tensor] = []
    outputs = type(task.kind).outputs

    def watched(self: Any, *given: Any) -> Tensor:
        found = outputs(self, *given)
        seen.append(found.detach())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(task.kind), "outputs", watched)
        model.train()
        torch.manual_seed(0)
        _ = gradients(bench, Room(3), np.arange(9))
    model.eval()
    first, second = seen[:3], seen[3:]
    assert len(first) == len(second) == 3
    for one, other in zip(first, second, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    with torch.no_grad():
        calm = task.kind.outputs(model, task.collate(task.train, np.arange(3)))
    assert not torch.allclose(first[0], calm, atol=1e-3)  # it was on


def test_a_training_that_runs_out_of_memory_goes_on_with_whole_batches(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    trained: list[list[Tensor]] = []

    def train() -> float:
        losses = []
        for evaluation in bench.measure(pyramid, 2e-3):
            trained.append(weights(bench))
            losses.append(evaluation.loss)
        (found,) = losses
        return found

    pyramid = Pyramid.lora(2, bench.layers, bench.space().targets[0])
    loss = train()
    with narrow(bench, 5, after=2):
        assert train() == pytest.approx(loss, rel=1e-4)
    assert bench.room.notes == ["out of memory: micro-batches of 4"]
    one, other = trained
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one, other, strict=True))
