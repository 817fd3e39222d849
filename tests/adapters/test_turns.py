"""Each level has its turns, and what has none does not move."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.adapters.bank import AdapterBank, bank_of
from msplora_search.adapters.turns import Turns, require_steps
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.settings.values import Optimization
from tests.adapters.models import QV, TOKENS, bert, trained

THREE = Pyramid.from_split((4, 2, 1), (0, 2, 4), QV)
WAYS: tuple[Optimization, ...] = ("staged", "alternating")
BATCH = {"input_ids": TOKENS, "labels": torch.tensor([0, 1])}


def turns(pyramid: Pyramid, way: Optimization) -> Turns | None:
    return Turns.of(bank_of(trained(bert(4), pyramid)), way)


def moved(bank: AdapterBank, before: dict[str, torch.Tensor]) -> set[str]:
    """Levels of which something is another number."""
    return {name.split(".")[0] for name, now in bank.state().items() if not torch.equal(now, before[name])}


@given(st.integers(3, 200))
def test_stages_follow_one_another_in_equal_shares(steps: int) -> None:
    found = Turns({"global": (), "mid": (), "layer": ()}, staged=True)
    stages = {level: len(list(those)) for level, those in groupby(found.at(step, steps) for step in range(steps))}
    assert list(stages) == ["global", "mid", "layer"]
    assert sum(stages.values()) == steps
    assert max(stages.values()) - min(stages.values()) <= 1


@given(st.integers(3, 200))
def test_levels_that_alternate_have_every_third_step(steps: int) -> None:
    found = Turns({"global": (), "mid": (), "layer": ()}, staged=False)
    assert [found.at(step, steps) for step in range(steps)] == (["global", "mid", "layer"] * steps)[:steps]


@pytest.mark.parametrize("way", WAYS)
def test_a_level_without_ranks_has_no_turn(way: Optimization) -> None:
    groups = [DepthGroup(0, 2, 0, 1), DepthGroup(2, 4, 0, 0)]
    found = turns(Pyramid(2, groups, QV), way)
    assert found is not None
    assert list(found.levels) == ["global", "layer"]
    assert {found.at(step, 10) for step in range(10)} == {"global", "layer"}


@pytest.mark.parametrize("pyramid", [Pyramid.lora(2, 4, QV), Pyramid.from_split((2, 0, 0), (0, 4), QV)])
def test_of_one_level_there_are_no_turns(pyramid: Pyramid) -> None:
    assert all(turns(pyramid, way) is None for way in WAYS)
    assert turns(THREE, "joint") is None


@pytest.mark.parametrize("way", WAYS)
def test_a_step_moves_one_level_and_the_head_whatever_momentum_and_decay_would(way: Optimization) -> None:
    model = trained(bert(4), THREE)
    bank, found = bank_of(model), Turns.of(bank_of(model), way)
    assert found is not None
    parameters = [p for p in model.parameters() if p.requires_grad]
    own = {id(p) for p in bank.parameters()}
    head = [p for p in parameters if id(p) not in own]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.5, fused=True)
    for step in range(9):
        before, head_before = {n: t.clone() for n, t in bank.state().items()}, [p.detach().clone() for p in head]
        model(**BATCH).loss.backward()
        found.hold(step, 9)
        clipped = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        level = found.levels[found.at(step, 9)]
        assert all(p.grad is not None for p in level)
        assert clipped > 0
        optimizer.step()
        optimizer.zero_grad()
        assert moved(bank, before) == {found.at(step, 9)}
        assert not any(torch.equal(p, b) for p, b in zip(head, head_before, strict=True))


def test_the_gradients_of_levels_that_are_held_do_not_count_where_gradients_are_clipped() -> None:
    model = trained(bert(4), THREE)
    bank, found = bank_of(model), Turns.of(bank_of(model), "alternating")
    assert found is not None
    model(**BATCH).loss.backward()
    expected = torch.cat([p.grad.flatten() for p in found.levels["mid"] if p.grad is not None]).norm()
    found.hold(1, 9)
    assert torch.nn.utils.clip_grad_norm_(bank.parameters(), 1e9) == pytest.approx(float(expected))


def test_fewer_steps_than_levels_are_refused() -> None:
    with pytest.raises(
        InputError, match="staged training of 3 levels needs as many steps, and there are 2; train"
    ):
        require_steps(2, 3, "staged", "proxy.optimization")
    require_steps(2, 3, "joint", "proxy.optimization")
    require_steps(3, 3, "staged", "proxy.optimization")
