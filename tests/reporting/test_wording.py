from __future__ import annotations

import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.reporting.wording import against_lora, comparisons, nothing_completed, seeds_differ, verdict
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.summary import summarise
from tests.example import EXAMPLES, LAYERS, QV, record, results, split

NAN = "DivergedError: the training loss is nan by step 60 of 120"


def ended(number: int, state: State, reason: str) -> TrialRecord:
    return record(number, split(1, 0, 0), 0, curve=(), state=state, reason=reason)


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ([], "none was trained."),
        ([(State.FAILED, NAN)], f"the only trial failed: {NAN}"),
        (
            [
                (State.FAILED, "MemoryError: "),
                (State.FAILED, NAN),
                (State.REFUSED, "too large"),
                (State.FAILED, NAN),
            ],
            f"2 of 4 trials failed: {NAN}",
        ),
        ([(State.FAILED, "\x1b[31mred")], "the only trial failed: \\x1b[31mred"),
    ],
)
def test_the_commonest_reason_is_told(reasons: list[tuple[State, str]], said: str) -> None:
    trials = tuple(ended(i, state, reason) for i, (state, reason) in enumerate(reasons))
    assert nothing_completed(summarise(results(trials))) == f"No trial was measured to the end: {said}"


@pytest.mark.parametrize(("wrong", "is_told"), [(EXAMPLES // 2 - 12, True), (EXAMPLES // 2 - 60, False)])
def test_a_front_that_may_be_chance_is_told_before_anything_is_chosen(wrong: int, is_told: bool) -> None:
    trials = (
        record(0, Pyramid.geometric(8, LAYERS), EXAMPLES // 2 - 4, baseline="paper"),
        record(1, Pyramid.lora(1, LAYERS, QV), EXAMPLES // 2 + 4, baseline="lora-1"),
        record(2, split(1, 0, 0), EXAMPLES // 2),
        record(3, split(2, 0, 0), wrong),
    )
    summary = summarise(results(trials))
    said = verdict(summary)
    assert said.startswith("Nothing is clearly better than always the most frequent class (0.5000)") == is_told
    assert said.startswith(("Take trial", "trial ")) != is_told
    assert bool(comparisons(summary)) != is_told
    assert bool(against_lora(summary)) != is_told


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            (0.004, 0.002, 0.01),
            "by a standard deviation of 0.4 points (0.2 to 1.0 points, from 4 repeats), beyond",
        ),
        ((0.0, 0.0, 0.009), "by a standard deviation of 0.0 points (0.0 to 0.9 points, from 4 repeats), beyond"),
        ((0.0, 0.0, 0.0), "by no more than the choice of examples explains (from 4 repeats)"),
    ],
)
def test_no_noise_of_seeds_is_never_told_as_certain(known: tuple[float, float, float], said: str) -> None:
    assert said in seeds_differ("Two seeds", known, "from 4 repeats", (0.0, 1.0))
