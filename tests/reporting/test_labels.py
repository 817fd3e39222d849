"""Labels: none on another, none outside, the same every time."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.reporting.figures.axes import round_numbers, short_number
from msplora_search.reporting.figures.curves import spread
from msplora_search.reporting.figures.labels import Box, Cover, Obstacle, place

CANVAS = Box(0, 0, 400, 300)
anchors = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), max_size=25)
sides = st.integers(0, 9)
boxes = st.builds(lambda x, y, width, height: Box(x, y, x + width, y + height), sides, sides, sides, sides)
obstacles = st.builds(Obstacle, st.lists(boxes, max_size=3).map(tuple), st.floats(0, 10))


@given(anchors, st.floats(4, 40))
def test_no_label_meets_another_or_leaves_the_axes(at: list[tuple[float, float]], width: float) -> None:
    sizes = [(width, 9.0)] * len(at)
    found = place(at, sizes, [], CANVAS, 1.0)
    assert found == place(at, sizes, [], CANVAS, 1.0)
    boxes = [one.box for one in found if one is not None]
    assert all(box.within(CANVAS) for box in boxes)
    assert not any(one.meets(other) for one, other in combinations(boxes, 2))


def test_a_label_avoids_what_weighs_and_stands_nearest_its_own_point() -> None:
    (plain,) = place([(200, 150)], [(20, 9)], [], CANVAS, 1.0)
    assert plain is not None
    assert plain.box.bottom > 150
    (aside,) = place([(200, 150)], [(20, 9)], [Obstacle((Box(190, 151, 210, 170),), 9.0)], CANVAS, 1.0)
    assert aside is not None
    assert not aside.box.meets(Box(190, 151, 210, 170))
    pair = place([(200, 150), (212, 150)], [(20, 9)] * 2, [], CANVAS, 1.0)
    assert all(one is not None for one in pair)
    assert pair[0] is not None
    assert pair[0].box.distance((200, 150)) <= pair[0].box.distance((212, 150))


@given(st.lists(obstacles, max_size=12), boxes)
def test_a_label_pays_once_for_each_obstacle_that_it_meets(there: list[Obstacle], label: Box) -> None:
    met = [obstacle.weight for obstacle in there if any(label.meets(box) for box in obstacle.boxes)]
    assert Cover.of(there).cost(label) == pytest.approx(sum(met))


@given(st.lists(st.floats(-50, 350), max_size=60), st.floats(3, 30))
def test_heights_are_spread_in_order_and_within(wanted: list[float], apart: float) -> None:
    found = [height for height in spread(sorted(wanted), apart, 0, 300) if height is not None]
    assert len(found) >= min(len(wanted), int(300 // apart))
    assert all(other - one >= apart - 1e-6 for one, other in pairwise(found))
    assert all(-1e-6 <= height <= 300 + 1e-6 for height in found)


def test_heights_with_room_stay_where_they_are() -> None:
    assert spread([10, 50, 90], 8, 0, 100) == [10, 50, 90]
    assert spread([50, 50], 8, 0, 100) == [46, 54]


@given(st.floats(1, 1e9), st.floats(1.01, 1e4), st.integers(2, 8))
def test_ticks_are_few_and_within(low: float, times: float, most: int) -> None:
    found = round_numbers(low, low * times, most)
    assert len(found) <= most
    assert all(low <= number <= low * times for number in found)


def test_numbers_are_short() -> None:
    said = [short_number(n) for n in (800, 1_500, 20_000, 150_000, 1_500_000, 33e6, 7e9, 2e12)]
    assert said == ["800", "1,500", "20k", "150k", "1.5M", "33M", "7G", "2T"]
