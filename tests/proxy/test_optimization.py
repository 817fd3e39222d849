"""Levels of a pyramid that a proxy trains one after another, or in turn."""

from __future__ import annotations

from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msplora_search.adapters.bank import attach, bank_of, detach
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.training import MAX_GRADIENT_NORM, rate_factor
from msplora_search.proxy.workbench import Workbench
from tests.proxy.test_training import ONE, QV, bench_of, curve, same

THREE = Pyramid.from_split((2, 2, 1), (0, 1, 2), QV)
RATE = 2e-2


def bench_that(folder: Path, way: str, **proxy: Any) -> Workbench:
    return bench_of(folder, proxy={"optimization": way, **proxy}, pruning={"rule": "none"})


def states(bench: Workbench, pyramid: Pyramid) -> list[dict[str, torch.Tensor]]:
    """The adapters after each step of a training, its start first."""
    found: list[dict[str, torch.Tensor]] = []

    class Watching(type(bench.room)):  # type: ignore[misc]
        def differentiate(self, model: Any, *given: Any) -> Any:
            found.append({name: tensor.clone() for name, tensor in bank_of(model).state().items()})
            return super().differentiate(model, *given)

    running = bench.measure(pyramid, RATE)
    object.__setattr__(bench, "room", Watching())
    for evaluation in running:
        if evaluation.rung == 1:
            state = bank_of(bench.backbone.model).state()
            found.append({name: tensor.clone() for name, tensor in state.items()})
    return found


def levels_moved(found: list[dict[str, torch.Tensor]]) -> list[set[str]]:
    """At each step."""
    return [
        {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}
        for before, now in pairwise(found)
    ]


def test_stages_leave_the_other_levels_as_they_are(tmp_path: Path) -> None:
    moved = levels_moved(states(bench_that(tmp_path, "staged", weight_decay=0.1), THREE))
    assert moved == [{"global"}] * 22 + [{"mid"}] * 21 + [{"layer"}] * 21


def test_levels_that_alternate_move_one_a_step(tmp_path: Path) -> None:
    moved = levels_moved(states(bench_that(tmp_path, "alternating", weight_decay=0.1), THREE))
    assert moved == ([{"global"}, {"mid"}, {"layer"}] * 22)[:64]


def test_of_one_level_all_ways_are_one(tmp_path: Path) -> None:
    joint, *others = (curve(bench_that(tmp_path, way), ONE) for way in ("joint", "staged", "alternating"))
    assert all(same(other, joint) for other in others)


def test_ways_differ_where_there_are_several_levels(tmp_path: Path) -> None:
    found = [curve(bench_that(tmp_path, way), THREE) for way in ("joint", "staged", "alternating")]
    assert len({curve_of[-1].loss for curve_of in found}) == 3


@pytest.mark.parametrize("way", ["joint", "staged", "alternating"])
def test_what_goes_on_ends_as_what_never_stopped(tmp_path: Path, way: str) -> None:
    """The first rung lies within a stage, and within a turn: some levels have no momentum yet."""
    bench = bench_that(tmp_path, way, rungs=[0.25, 1.0], weight_decay=0.1)
    whole, shelf = curve(bench, THREE), Shelf(tmp_path / "one.safetensors")
    with closing(bench.measure(THREE, RATE, shelf=shelf)) as running:  # type: ignore[type-var]
        assert len(list(islice(running, 1))) == 1
    assert shelf.path.is_file()
    curve(bench, ONE)
    assert same(list(bench.measure(THREE, RATE, shelf=shelf)), whole)


def test_joint_training_is_a_plain_loop_of_adamw(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    found, model = curve(bench, THREE, RATE), bench.backbone.model
    bench.backbone.reset_head(bench.settings.search.seed)
    attach(model, THREE, seed=bench.settings.search.seed, trainable=bench.backbone.head)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0, fused=True)
    losses = []
    for step, batch in enumerate(bench.batches.training):
        loss = bench.task.loss(model.train(False), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate_factor(step, bench.steps, 0.06)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    detach(model)
    assert [e.loss for e in found] == [float(torch.stack(half).mean()) for half in (losses[:32], losses[32:])]
    assert np.isfinite(found[-1].loss)


def test_a_proxy_of_fewer_steps_than_levels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="alternating training of 3 levels needs as many steps, and there are 2"):
        bench_that(tmp_path, "alternating", epochs=0.125)


def test_stages_and_rungs_that_stop_trials_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is staged, so that rungs come before .* set pruning.rule to none"):
        bench_of(tmp_path, proxy={"optimization": "staged"})
