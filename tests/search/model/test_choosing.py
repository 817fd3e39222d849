"""What is trained next, given what was measured."""

from dataclasses import replace

import numpy as np
import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.results.records import State
from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.choosing import best_choice, initial_choice, initial_count, kernel_from
from msplora_search.search.model.features import Candidate, Features
from msplora_search.search.model.measurements import MOST_MODELLED, Measurements
from msplora_search.search.model.outlook import Outlook
from tests.search.model.trained import trained

SPACE = SearchSpace(6, (("query",),), (0, 1, 2, 4, 8), (0, 1, 2, 4), (0, 1, 2), FreeSplits((1, 2, 3)))
GROUND = Ground(SPACE, lambda pyramid: 100 * pyramid.rank_units, Features.of(SPACE.targets))
CANDIDATES = Candidates.of(GROUND)


def lora(rank: int) -> Pyramid:
    return Pyramid.lora(rank, 6, ("query",))


def test_a_search_begins_with_the_cheapest_and_then_fills_the_widest_gaps() -> None:
    free = np.ones(len(CANDIDATES.costs), dtype=bool)
    known: list[int] = []
    for _ in range(4):
        taken = [CANDIDATES.configurations[i] for i in known]
        known.append(initial_choice(CANDIDATES, free, taken, seed=0))
        free[known[-1]] = False
    sizes = np.log(CANDIDATES.costs[known])
    low, high = np.log(CANDIDATES.costs[[0, -1]])
    place = (sizes - low) / (high - low)
    assert place[0] == 0
    assert place[1] == pytest.approx(1, abs=0.03)
    assert place[2] == pytest.approx(0.5, abs=0.05)
    assert sorted(place[3:]) == pytest.approx([0.25], abs=0.05) or sorted(place[3:]) == pytest.approx(
        [0.75], abs=0.05
    )


@pytest.mark.parametrize(
    ("rates", "first"),
    [((1e-3,), [1e-3] * 4), ((1e-3, 2e-3), [1e-3, 2e-3] * 2), ((1e-3, 2e-3, 4e-3), [2e-3] * 4),
     ((1e-3, 2e-3, 4e-3, 8e-3), [2e-3, 4e-3] * 2)],
)  # fmt: skip
def test_a_search_begins_at_the_middle_rate_or_at_the_two_in_turn(
    rates: tuple[float, ...], first: list[float]
) -> None:
    """At the upper of two alone nothing would be known of the lower one when the model is asked."""
    ground = replace(GROUND, space=replace(SPACE, learning_rate=rates))
    candidates, known = Candidates.of(ground), list[Candidate]()
    for _ in first:
        free = candidates.free(known)
        known.append(candidates.configurations[initial_choice(candidates, free, known, seed=0)])
    assert [one.rate for one in known] == first


def test_the_cheapest_is_soon_tried_at_a_higher_rate() -> None:
    ground = replace(GROUND, space=replace(SPACE, learning_rate=(1e-3, 2e-3, 4e-3)))
    candidates, known = Candidates.of(ground), list[Candidate]()
    for _ in range(8):
        known.append(candidates.configurations[initial_choice(candidates, candidates.free(known), known, seed=0)])
    assert known[4] == known[0]._replace(rate=4e-3)
    assert [one.rate for one in known[5:]] == [2e-3] * 3


def test_short_searches_ask_the_model_too() -> None:
    """All but the last two proposals of a short one are spread, of the shortest four."""
    assert [initial_count(trials) for trials in (1, 6, 9, 12, 24, None)] == [4, 4, 7, 10, 10, 10]


def test_what_was_measured_says_where_to_go_on() -> None:
    """Mid ranks are what helps: the model learns it from a few trials that differ in nothing else."""
    some = [CANDIDATES.configurations[i].pyramid for i in range(0, len(CANDIDATES.costs), 30)]
    records = [trained(i, p, [0.7 + 0.05 * (max(g.mid_rank for g in p.groups) >= 2)]) for i, p in enumerate(some)]
    outlook = Outlook.of(Measurements.of(records, 0.0), GROUND, CANDIDATES, floor=0.5)
    helps = np.array([max(g.mid_rank for g in one.pyramid.groups) >= 2 for one in CANDIDATES.configurations])
    mean, _ = outlook.expected(CANDIDATES.features)
    assert mean[helps].mean() > mean[~helps].mean() + 0.005
    free = np.array([one.pyramid not in some for one in CANDIDATES.configurations])
    gains = outlook.gains(CANDIDATES)
    chosen = best_choice(gains, free)
    assert free[chosen]
    assert gains[chosen] == gains[free].max()


def test_what_is_being_trained_is_not_proposed_twice_by_its_neighbours() -> None:
    some = [CANDIDATES.configurations[i].pyramid for i in range(0, len(CANDIDATES.costs), 60)]
    records = [trained(i, p, [0.7 + 0.01 * i]) for i, p in enumerate(some)]
    measured = Measurements.of(records, 0.0)
    first = Outlook.of(measured, GROUND, CANDIDATES, 0.5)
    before = first.gains(CANDIDATES)
    best = int(np.argmax(before))
    then = Outlook.of(measured, GROUND, CANDIDATES, 0.5, pending=[CANDIDATES.configurations[best]])
    assert then.gains(CANDIDATES)[best] < 0.5 * before[best]
    features = CANDIDATES.features
    assert np.abs(then.expected(features)[0] - first.expected(features)[0]).max() < 0.02


def test_a_measurement_counts_as_far_as_it_is_exact() -> None:
    records = [trained(i, lora(rank), [0.7]) for i, rank in enumerate((1, 2, 4))]
    exact = Measurements.of(records, 0.0)
    noisy = Measurements.of(records, 0.05**2)
    assert (noisy.variances > exact.variances).all()
    again = Measurements.of([*records, trained(3, lora(1), [0.74])], 0.0)
    assert again.metrics[0] == pytest.approx(0.72)
    assert again.variances[0] == pytest.approx(again.variances[1] / 2)


def test_what_failed_counts_as_no_better_than_the_worst() -> None:
    records = [
        trained(0, lora(1), [0.7]),
        trained(1, lora(2), [0.8]),
        trained(2, lora(4), [], state=State.FAILED),
    ]
    measured = Measurements.of(records, 0.0)
    assert [one.pyramid for one in measured.configurations] == [lora(1), lora(2), lora(4)]
    assert measured.metrics[2] == pytest.approx(0.7)


def test_of_many_the_nearest_to_the_front_are_modelled() -> None:
    ranks = range(1, MOST_MODELLED + 51)
    records = [trained(i, lora(rank), [0.6 + 0.2 * (rank % 2 == 0)]) for i, rank in enumerate(ranks)]
    measured = Measurements.of(records, 0.0)
    assert len(measured.metrics) == MOST_MODELLED
    assert (measured.metrics > 0.7).sum() == len(ranks) // 2


def test_kernels_are_fitted_ever_more_seldom() -> None:
    fitted = [kernel_from(count) for count in range(2, 300)]
    assert all(fit <= count and fit > 0.75 * count - 1 for fit, count in zip(fitted, range(2, 300), strict=True))
    assert len(set(fitted)) < 25
