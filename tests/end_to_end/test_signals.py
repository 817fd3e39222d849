"""Stopped by signals at whatever moment: what was trained is kept, and the search goes on from it."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from msplora_search.results.records import State
from msplora_search.search.part import UNFINISHED
from msplora_search.search.results import load_results
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests import program
from tests.small import write_study

LONG = {"epochs": 300, "rungs": [0.1, 1.0]}
"""A trial takes some tens of seconds; at the first rung, after some three, it keeps its step."""


def begin(study: Path, folder: Path, workers: int = 1) -> program.Begun:
    """A search in its folder."""
    return program.begin("run", study, "--output", "out", "--workers", workers, cwd=folder)


def wait_for(there: Callable[[], bool], seconds: float = 120) -> None:
    """Until it is so."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def kept_steps(folder: Path) -> list[int]:
    """Of the trainings that wait."""
    found = []
    for path in (folder / "out" / UNFINISHED).glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            found.append(int(file.metadata()["step"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("how", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_signal_keeps_the_step_and_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals, workers: int
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    study = write_study(tmp_path, search={"trials": 6, "sampler": "random"}, proxy=LONG, pruning={"rule": "none"})
    process = begin(study, tmp_path, workers)
    wait_for(lambda: len(kept_steps(tmp_path)) == workers)
    at_rung = kept_steps(tmp_path)
    began = time.monotonic()
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 6
    assert process.returncode == 128 + how
    assert err == "stopped; the same command goes on from here\n"
    results = load_results(tmp_path / "out")
    assert not results.in_state(State.RUNNING)
    assert len(results.interrupted) == workers
    steps = kept_steps(tmp_path)
    assert len(steps) == workers
    assert sum(steps) > sum(at_rung)


@pytest.mark.slow
def test_a_search_that_is_stopped_ten_times_has_the_front_of_one_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    study, draw = write_study(tmp_path, search={"trials": 8}, proxy={"epochs": 20}), random.Random(0)
    whole = begin(study, tmp_path)
    assert whole.communicate(timeout=300)[1] == ""
    (tmp_path / "out").rename(tmp_path / "whole")
    stops = 0
    code: int | None = 130
    while code:
        process = begin(study, tmp_path)
        if stops < 10:
            process.stdout.readline()  # the model is loaded
            time.sleep(draw.uniform(0, 2))
            process.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
        _, err = process.communicate(timeout=300)
        code, stops = process.returncode, stops + 1
        assert code in (0, 130, 143), err
    assert stops > 5
    once, often = (load_results(tmp_path / name) for name in ("whole", "out"))
    told = [
        [(r.configuration, r.state, [(e.metric, e.loss) for e in r.curve]) for r in of.records if r.curve]
        for of in (once, often)
    ]
    assert told[0] == told[1]
