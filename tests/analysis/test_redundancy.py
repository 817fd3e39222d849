from __future__ import annotations

import math

import numpy as np
import pytest

from msplora_search.analysis.redundancy import chance_overlap, principal_angles, redundancy_of
from msplora_search.analysis.report import analyse
from msplora_search.analysis.updates import Update
from tests.analysis.made import GROUPS, PLACES, WIDTH, full, grouped, pyramid, update, with_layers


def test_similarity_is_the_cosine_of_all_targets_side_by_side() -> None:
    trained = pyramid()
    found = redundancy_of(trained, "whole")
    rows = np.stack([
        np.concatenate([full(trained.whole[place, layer]).ravel() for place in trained.places])
        for layer in range(trained.layers)
    ])  # fmt: skip
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    assert np.allclose(found.similarity, rows @ rows.T)
    mean = rows.mean(axis=0)
    assert found.replaceable == pytest.approx(float(mean @ mean))


def test_chance_is_what_random_updates_give() -> None:
    generator = np.random.default_rng(0)
    cosines, overlaps = list[float](), list[float]()
    for _ in range(400):
        one, other = update(generator, 3), update(generator, 5)
        cosines.append(one.inner(other) / math.sqrt(one.energy * other.energy))
        angles = principal_angles(one.svd[0], other.svd[0])
        overlaps.append(float(np.square(np.cos(angles)).mean()))
    mean, variance = chance_overlap(3, 5, WIDTH)
    assert np.std(cosines) == pytest.approx(1 / WIDTH, rel=0.12)
    assert abs(np.mean(cosines)) < 4 / WIDTH / 20
    assert np.mean(overlaps) == pytest.approx(mean, abs=4 * math.sqrt(variance / 400))
    assert np.std(overlaps) == pytest.approx(math.sqrt(variance), rel=0.12)


def test_principal_angles_are_those_of_a_plane_turned_by_known_angles() -> None:
    turned = np.zeros((4, 2))
    turned[[0, 2], 0] = math.cos(0.3), math.sin(0.3)
    turned[[1, 3], 1] = math.cos(1.1), math.sin(1.1)
    assert principal_angles(np.eye(4)[:, :2], turned) == pytest.approx([0.3, 1.1])


def test_independent_layers_are_no_more_alike_than_by_chance() -> None:
    found = redundancy_of(pyramid((0, 0, 4)), "layer")
    assert found.columns is not None
    assert found.rows is not None
    assert abs(found.mean) < 4 * found.chance_sd / math.sqrt(len(found.off_diagonal))
    assert abs(found.columns.above) < 4
    assert abs(found.rows.above) < 4
    assert found.replaceable == pytest.approx(1 / 12, abs=0.02)


def test_what_a_shared_level_takes_out_is_no_longer_in_the_layer_level() -> None:
    lora = with_layers(pyramid((0, 0, 2)), grouped((0, 12), 2.0))
    shared = analyse(pyramid((2, 0, 2), (2.0, 0.0, 1.0)))
    assert redundancy_of(lora, "layer").mean > 0.6
    assert shared.whole.mean > 0.6
    assert shared.own is not None
    assert abs(shared.own.mean) < 0.02


def test_groups_that_were_planted_in_plain_lora_are_found() -> None:
    found = analyse(with_layers(pyramid((0, 0, 2)), grouped((0, 3, 8, 12), 1.0)))
    assert found.split.boundaries == (0, 3, 8, 12)
    assert not found.is_pyramid
    assert not found.findings


def test_layers_that_write_into_common_directions_are_told_though_their_cosines_are_not() -> None:
    """As LoRA trains: each layer's down factor is its own, and what they learn alike is in the columns."""
    generator = np.random.default_rng(3)
    own = {}
    for place in PLACES:
        for start, stop in ((0, 5), (5, 12)):
            common = np.linalg.qr(generator.normal(size=(WIDTH, 4)))[0]
            for layer in range(start, stop):
                own[place, layer] = Update(update(generator, 2).down, common @ generator.normal(size=(4, 2)))
    found = analyse(with_layers(pyramid((0, 0, 2)), own))
    assert found.by_directions.boundaries == (0, 5, 12)
    assert found.whole.columns is not None
    assert found.whole.columns.above > 10
    assert found.split.held < 0.35


def test_layers_without_an_update_are_left_out() -> None:
    trained = pyramid((0, 0, 2))
    some = {site: made for site, made in trained.levels["layer"].items() if site[1] not in (0, 5)}
    found = redundancy_of(with_layers(trained, some), "layer")
    assert found.layers == (1, 2, 3, 4, 6, 7, 8, 9, 10, 11)
    assert found.similarity.shape == (10, 10)
    assert np.isfinite(found.similarity).all()
    assert GROUPS[-1] == 12
    assert set(found.by_target) == {place.target for place in PLACES}
