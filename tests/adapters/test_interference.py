from __future__ import annotations

import pytest
import torch

from msplora_search.adapters.bank import bank_of
from msplora_search.adapters.interference import by_layer, cosines_of, interference, steps_of
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from tests.adapters.models import TOKENS, bert, trained

BATCH = {"input_ids": TOKENS, "labels": torch.tensor([0, 1])}
PATH = "bert.encoder.layer.1.attention.self.query"


def test_a_step_is_what_gradient_descent_on_a_level_does_to_the_weight() -> None:
    model = trained(bert(4), Pyramid.geometric(4, 4, groups=2)).double()
    bank, rate = bank_of(model), 1e-6
    model(**BATCH).loss.backward()
    steps = steps_of(bank)[PATH]
    assert list(steps) == ["global", "mid", "layer"]
    for adapter, step in zip(bank.sites[PATH], steps.values(), strict=True):
        before = adapter.scaling * adapter.B.detach() @ adapter.A.detach()
        a, b = (f.detach() - rate * f.grad for f in (adapter.A, adapter.B) if f.grad is not None)
        moved = (adapter.scaling * b @ a - before) / rate
        up, down = step
        assert torch.allclose(up @ down, moved, atol=1e-4 * float(moved.abs().max()))


def test_levels_are_compared_at_every_batch_and_nothing_is_trained() -> None:
    model = trained(bert(4), Pyramid.geometric(4, 4, groups=2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = list(interference(model, [BATCH, BATCH]))
    assert found[0] == found[1]
    assert len(found[0]) == 8
    assert set(found[0][PATH]) == {("global", "mid"), ("global", "layer"), ("mid", "layer")}
    assert all(-1 <= cosine <= 1 for pairs in found[0].values() for cosine in pairs.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_levels_with_the_same_factors_pull_the_same_way() -> None:
    """In a stack of one layer all levels are that layer's, and with equal factors they have equal gradients."""
    model = trained(bert(2), Pyramid.from_split((2, 2, 0), (0, 1, 2), ("query",)))
    bank = bank_of(model)
    first = bank.sites["bert.encoder.layer.0.attention.self.query"]
    with torch.no_grad():
        for name in ("A", "B"):
            getattr(first[1], name).copy_(getattr(first[0], name))
        last = bank.sites["bert.encoder.layer.1.attention.self.query"]
        assert last[0] is first[0]
    model(**BATCH).loss.backward()
    # the global level's gradient sums over both layers; take the second layer's part away
    for name in ("A", "B"):
        getattr(first[0], name).grad = getattr(first[1], name).grad.clone()
    (cosine,) = cosines_of(bank)["bert.encoder.layer.0.attention.self.query"].values()
    assert cosine == pytest.approx(1)


def test_cosines_are_those_of_the_whole_matrices_and_their_means_by_layer() -> None:
    model = trained(bert(4), Pyramid.from_split((2, 1, 2), (0, 2, 4), ("query", "value")))
    bank = bank_of(model)
    model(**BATCH).loss.backward()
    found, whole = cosines_of(bank), {}
    for path, steps in steps_of(bank).items():
        matrices = {level: (up @ down).flatten() for level, (up, down) in steps.items()}
        for pair, cosine in found[path].items():
            one, other = (matrices[level] for level in pair)
            whole[path, pair] = float(torch.cosine_similarity(one, other, dim=0))
            assert cosine == pytest.approx(whole[path, pair], abs=1e-9)
    layers = by_layer(bank, found)
    assert set(layers) == {("global", "mid"), ("global", "layer"), ("mid", "layer")}
    sites = [f"bert.encoder.layer.3.attention.self.{target}" for target in ("query", "value")]
    expected = sum(whole[path, ("global", "layer")] for path in sites) / 2
    assert layers["global", "layer"][3] == pytest.approx(expected)


def test_a_pair_that_does_not_meet_in_a_layer_has_no_cosine_there() -> None:
    groups = [DepthGroup(0, 2, 1, 0), DepthGroup(2, 4, 0, 1)]
    model = trained(bert(4), Pyramid(2, groups, ("query",)))
    model(**BATCH).loss.backward()
    layers = by_layer(bank_of(model), cosines_of(bank_of(model)))
    where = {pair: [cosine is not None for cosine in found] for pair, found in layers.items()}
    assert where == {
        ("global", "mid"): [True, True, False, False],
        ("global", "layer"): [False, False, True, True],
    }
