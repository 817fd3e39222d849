from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.analysis.splitting import FEWEST_LAYERS, best_split, held_by, suggested_split
from msplora_search.analysis.updates import Floats
from tests.strategies import all_boundaries


def cosines(seed: int, layers: int, groups: tuple[int, ...] = (), shared: float = 0.0, width: int = 60) -> Floats:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(layers, width))
    for start, stop in pairwise(groups):
        rows[start:stop] += shared * generator.normal(size=width)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return np.asarray(rows @ rows.T)


@given(st.integers(0, 10_000), st.integers(2, 8), st.data())
def test_the_best_split_is_the_best_of_all(seed: int, layers: int, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, layers))
    similarity = cosines(seed, layers, width=5)
    held, boundaries = best_split(similarity, groups)
    best = max(held_by(similarity, split) for split in all_boundaries(layers, groups))
    assert held == pytest.approx(best)
    assert held_by(similarity, boundaries) == pytest.approx(best)
    assert len(boundaries) == groups + 1


def test_planted_groups_are_found_and_no_more() -> None:
    found = suggested_split(cosines(1, 14, (0, 4, 10, 14), 1.5))
    assert found.boundaries == (0, 4, 10, 14)
    assert found.held > 2 * found.held_by_one


@pytest.mark.parametrize("common", [0.0, 1.0])
def test_layers_that_are_all_alike_or_all_unlike_are_seldom_split(common: float) -> None:
    """At most 5% of them by construction; of 100 more than 12 would be one in a thousand."""
    split = sum(
        suggested_split(cosines(seed, 10, (0, 10), common), shuffles=99, seed=seed).groups > 1
        for seed in range(100)
    )
    assert split <= 12


def test_too_few_layers_are_never_split() -> None:
    found = suggested_split(cosines(0, FEWEST_LAYERS - 1, (0, 3, 6), 50.0))
    assert found.groups == 1
    assert not found.p_values
