from __future__ import annotations

import numpy as np

from msplora_search.analysis.report import analyse
from msplora_search.analysis.signatures import Sign
from msplora_search.analysis.updates import Trained, Update
from scripts.simulate_signatures import false_alarms
from tests.analysis.made import LAYERS, PLACES, WIDTH, grouped, pyramid, update, with_layers


def signs(trained: Trained) -> set[tuple[Sign, str]]:
    return {(finding.sign, finding.level) for finding in analyse(trained).findings}


def test_a_pyramid_of_independent_adapters_raises_none() -> None:
    assert not signs(pyramid())


def test_layer_updates_that_are_nearly_parallel_are_a_collapse() -> None:
    assert signs(with_layers(pyramid(), grouped((0, 12), 2.0))) >= {(Sign.COLLAPSE, "layer")}


def test_a_level_without_energy_is_idle() -> None:
    assert signs(pyramid(sizes=(1.0, 0.01, 1.0))) == {(Sign.IDLE, "mid")}


def test_ranks_that_hold_nothing_are_unused() -> None:
    found = analyse(pyramid(falling=0.03)).findings
    assert {(f.sign, f.level) for f in found} >= {(Sign.UNUSED, "global"), (Sign.UNUSED, "mid")}
    of_global = next(f for f in found if f.level == "global" and f.sign == Sign.UNUSED)
    assert of_global.remedy == "lower the global rank to about 1"


def test_a_flat_layer_level_that_shares_directions_has_too_low_a_rank() -> None:
    """All layers write into the same few directions, each in its own way: no noise, and all its rank in use."""
    generator = np.random.default_rng(0)
    common = np.linalg.qr(generator.normal(size=(WIDTH, 12)))[0]
    own = {
        (place, layer): Update(update(generator, 2, 8.0).down, common @ generator.normal(size=(12, 2)))
        for place in PLACES
        for layer in range(LAYERS)
    }
    assert signs(with_layers(pyramid(), own)) == {(Sign.LOW_RANK, "layer")}


def test_a_change_inside_a_group_is_a_mismatch() -> None:
    inside = analyse(with_layers(pyramid(), grouped((0, 6, 12), 1.0))).findings
    assert [finding.sign for finding in inside] == [Sign.MISMATCH]
    assert "layer 6, inside a depth group" in inside[0].evidence
    at_border = with_layers(pyramid(), grouped((0, 4, 8, 12), 1.0))
    assert Sign.MISMATCH not in {finding.sign for finding in analyse(at_border).findings}


def test_layers_more_alike_across_groups_are_a_mismatch() -> None:
    """Every fourth layer has something in common, so that none of a group has with another of it."""
    generator = np.random.default_rng(0)
    own = {}
    for place in PLACES:
        common = [update(generator, 2) for _ in range(4)]
        for layer in range(LAYERS):
            shared, noise = common[layer % 4], update(generator, 2, 0.7)
            own[place, layer] = Update(
                np.concatenate([shared.down, noise.down]), np.concatenate([shared.up, noise.up], axis=1)
            )
    found = analyse(with_layers(pyramid(), own)).findings
    assert any("across" in f.sign and "different groups" in f.evidence for f in found)


def test_false_alarms_of_adapters_without_structure_are_rare() -> None:
    rates = false_alarms(trials=30, layers=9, width=32, shuffles=99)
    assert all(rate <= 0.2 for rate in rates.values())
    assert rates[Sign.IDLE] == rates[Sign.UNUSED] == rates[Sign.COLLAPSE] == 0
