"""What is said of two trials of one search is what its report bounds."""

from __future__ import annotations

import re

import pytest

from msplora_search.search.summary import summarise
from scripts.compare_trials import compared
from tests.example import results

SUMMARY = summarise(results())
POINTS = {point.record.number: point for point in SUMMARY.points}


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]\d\.\d{4}", line)]


@pytest.mark.parametrize(("one", "other"), [(4, 1), (1, 4), (3, 0)])
def test_a_difference_lies_between_the_bounds_of_the_report(one: int, other: int) -> None:
    difference, low, high = numbers(compared(SUMMARY, POINTS[one], POINTS[other]))
    assert low < difference < high
    assert low == pytest.approx(-SUMMARY.worse_by_at_most(POINTS[one], POINTS[other]), abs=1e-4)
    assert high == pytest.approx(SUMMARY.worse_by_at_most(POINTS[other], POINTS[one]), abs=1e-4)


def test_the_better_one_is_above_0_and_the_other_way_round_it_is_the_opposite() -> None:
    there, back = (
        numbers(compared(SUMMARY, POINTS[4], POINTS[1])),
        numbers(compared(SUMMARY, POINTS[1], POINTS[4])),
    )
    assert there[0] > 0
    assert back == pytest.approx([-there[0], -there[2], -there[1]], abs=1e-4)


def test_both_are_named_with_their_sizes() -> None:
    said, _, _ = compared(SUMMARY, POINTS[3], POINTS[1]).rpartition(": ")
    assert said == "trial 3 (1/0/0, 1,536 parameters) - lora-1 (0/0/1, 9,216 parameters)"
