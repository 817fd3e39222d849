from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.analysis.spectra import effective_rank, spectra_of, stable_rank
from msplora_search.analysis.updates import Update, together
from tests.analysis.made import full, pyramid, update

POSITIVE = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


def test_what_is_computed_from_factors_is_that_of_the_matrix() -> None:
    generator = np.random.default_rng(0)
    one, other = update(generator, 3), update(generator, 5)
    u, s, v = one.svd
    assert np.allclose(u @ np.diag(s) @ v.T, full(one))
    assert np.allclose(s, np.linalg.svd(full(one), compute_uv=False)[:3])
    assert one.inner(other) == pytest.approx(float((full(one) * full(other)).sum()))
    assert one.energy == pytest.approx(float(np.square(full(one)).sum()))
    assert np.allclose(full(together([one, other])), full(one) + full(other))


def test_a_rank_above_the_sides_of_the_matrix_is_no_difficulty() -> None:
    generator = np.random.default_rng(0)
    wide = Update(generator.normal(size=(7, 4)), generator.normal(size=(5, 7)))
    assert len(wide.values) == 4
    assert np.allclose(wide.values, np.linalg.svd(full(wide), compute_uv=False))


@given(POSITIVE)
def test_ranks_lie_between_one_and_their_number_and_know_no_scale(values: list[float]) -> None:
    given_values = np.sort(np.array(values))[::-1]
    for rank in (effective_rank, stable_rank):
        assert 1 - 1e-9 <= rank(given_values) <= len(values) + 1e-9
        assert rank(7 * given_values) == pytest.approx(rank(given_values))
        assert rank(np.ones(len(values))) == pytest.approx(len(values))


def test_directions_that_hold_next_to_nothing_are_unused() -> None:
    basis = np.eye(6)
    made = Update(basis[:3] * np.array([[1.0], [0.5], [0.05]]), basis[:, :3])
    assert made.used == 2
    assert Update(made.down, 0 * made.up).used == 0


def test_energy_is_shared_among_levels_in_every_layer() -> None:
    trained = pyramid(sizes=(2.0, 1.0, 0.5))
    spectra = spectra_of(trained)
    assert sum(level.energy for level in spectra.levels) == pytest.approx(1)
    by_layer = np.array(list(spectra.energy_by_layer.values()))
    assert np.allclose(by_layer.sum(axis=0), 1)
    place = trained.places[0], 5
    norms = {level: sum(np.square(full(sites[p, 5])).sum() for p in trained.places)
             for level, sites in trained.levels.items()}  # fmt: skip
    assert spectra.energy_by_layer["mid"][5] == pytest.approx(norms["mid"] / sum(norms.values()))
    assert place in trained.whole


def test_the_most_complex_level_is_told_fairly() -> None:
    """Of random factors none is more complex than its rank makes it; a flat one of low rank is, by its share."""
    trained = pyramid(falling=0.5)
    flat = pyramid(seed=1)
    mixed = type(trained)("m", "pyramid", 12, {**trained.levels, "layer": flat.levels["layer"]}, trained.groups)
    assert spectra_of(mixed).most_complex[0] in ("global", "mid")
    assert spectra_of(mixed).most_complex[1] == "layer"
    level = spectra_of(flat).level("global")
    assert level is not None
    assert level.rank_share == pytest.approx(level.random_share, abs=0.03)
