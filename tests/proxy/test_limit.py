"""A training that takes too long stops between two steps, and can go on from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msplora_search.proxy.batching import Batches
from msplora_search.proxy.limit import OutOfTimeError
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.workbench import Workbench
from tests.proxy.test_training import ONE, bench_of, curve, same

RATE = 2e-2


@contextmanager
def slow(bench: Workbench, training: float = 0.0, evaluation: float = 0.0) -> Iterator[list[bool]]:
    """Seconds that each batch takes longer; the list grows with each, by whether it is trained on."""
    seen: list[bool] = []

    def wait(*_: Any) -> None:
        seen.append(torch.is_grad_enabled())
        time.sleep(training if seen[-1] else evaluation)

    with bench.backbone.model.register_forward_pre_hook(wait):
        yield seen


LIMITED: dict[str, Any] = {"scale": {"trial_time": "1s"}}
SHORT: dict[str, Any] = {"proxy": {"epochs": 1}}
"""Trains a tenth of a second."""


def test_over_its_time_a_training_stops_at_a_step_and_goes_on_from_it(tmp_path: Path) -> None:
    bench, shelf = bench_of(tmp_path, **LIMITED), Shelf(tmp_path / "one.safetensors")
    whole = curve(bench_of(tmp_path), ONE)
    with slow(bench, training=0.06) as seen, pytest.raises(OutOfTimeError) as caught:
        list(bench.measure(ONE, RATE, shelf=shelf))
    steps = sum(seen)
    assert str(caught.value) == f"over scale.trial_time, 1s, at step {steps} of 64"
    assert 1 < steps < 20
    assert not hasattr(bench.backbone.model, "pyramid_bank")
    patient = bench_of(tmp_path)
    with slow(patient) as seen:
        assert same(list(patient.measure(ONE, RATE, shelf=shelf)), whole)
    assert sum(seen) == 64 - steps


def test_it_is_noticed_between_two_batches_of_an_evaluation(tmp_path: Path) -> None:
    bench, shelf = bench_of(tmp_path, **LIMITED, **SHORT), Shelf(tmp_path / "one.safetensors")
    few = tuple(np.array_split(np.arange(144), 4))
    short = replace(bench.batches, validation=Batches(bench.task, bench.task.validation, few))
    slowed = replace(bench, batches=short)
    with slow(slowed, evaluation=1.1) as seen, pytest.raises(OutOfTimeError, match="at step 8 of 16"):
        list(slowed.measure(ONE, RATE, shelf=shelf))
    assert seen == [True] * 8 + [False]
    patient = bench_of(tmp_path, **SHORT)
    with slow(patient) as seen:
        found = list(patient.measure(ONE, RATE, shelf=shelf))
    assert sum(seen) == 8
    assert same(found, curve(patient, ONE))


def test_each_attempt_has_its_own_time(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, **LIMITED, **SHORT)
    time.sleep(1.1)
    for _ in range(2):
        assert len(curve(bench, ONE)) == 2
