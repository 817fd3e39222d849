"""What is said of two trials of one search."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from msplora_search.results.records import TrialRecord
from scripts.compare_trials import compared
from tests.example import EXAMPLES, evaluation, record, split


def judged(of: TrialRecord, wrong: int, shift: int) -> TrialRecord:
    """With so many wrong on a judging part too."""
    *earlier, last = of.curve
    return replace(of, curve=(*earlier, replace(last, judged=evaluation(1.0, wrong, shift))))


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]\d\.\d{4}", line)]


ONE = judged(record(3, split(1, 0, 0), 40), 60, 11)
OTHER = judged(record(4, split(2, 1, 0), 60), 100, 0)


def test_a_difference_is_of_both_parts_and_its_error_of_pairs() -> None:
    said = numbers(compared(ONE, OTHER, 0.0))
    assert said[0] == pytest.approx((20 + 40) / (2 * EXAMPLES), abs=1e-4)
    right = [np.concatenate([of.final.influence, of.curve[-1].judged.influence]) for of in (ONE, OTHER)]  # type: ignore[union-attr]
    error = np.std(right[0] - right[1], ddof=1) / np.sqrt(2 * EXAMPLES)
    assert said[2] - said[0] == pytest.approx(1.963 * error, rel=0.01)
    assert said[2] - said[0] == pytest.approx(said[0] - said[1], abs=1e-4)


def test_the_other_way_round_it_is_the_opposite() -> None:
    there, back = numbers(compared(ONE, OTHER, 1e-4)), numbers(compared(OTHER, ONE, 1e-4))
    assert back == [-there[0], -there[2], -there[1]]


def test_seeds_are_in_the_interval_twice() -> None:
    same = numbers(compared(ONE, ONE, 0.01**2))
    assert same[0] == 0
    assert same[2] == pytest.approx(1.963 * np.sqrt(2) * 0.01, abs=1e-4)


def test_a_trial_is_named_with_its_size() -> None:
    assert compared(ONE, OTHER, 0.0).startswith(
        "trial 3, 1/0/0, 1,536 parameters - trial 4, 2/1/0, 4,608 parameters: "
    )
