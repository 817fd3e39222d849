from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.recipe import carry_over, recipe_of, write_recipe
from msplora_search.full.selection import pick
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary, summarise
from tests.example import QV, record, results
from tests.small import save_model


def front_of(sizes: list[tuple[int, int]]) -> Summary:
    """A study whose trials have these (layer rank, wrong answers)."""
    trials = tuple(record(i, Pyramid.lora(rank, 6, QV), wrong) for i, (rank, wrong) in enumerate(sizes))
    return summarise(results(trials))


sizes = st.lists(
    st.tuples(st.integers(1, 64), st.integers(20, 180)), min_size=1, max_size=8, unique_by=lambda cell: cell[0]
)


@given(sizes)
@settings(max_examples=40)
def test_the_front_and_every_rule_agree_with_brute_force(cells: list[tuple[int, int]]) -> None:
    summary = front_of(cells)
    front = summary.front
    assert [p.params for p in front] == sorted({p.params for p in front})
    for point in summary.points:
        beaten = [q for q in summary.points if q.metric >= point.metric and q.params <= point.params]
        on_front = all((q.metric, q.params) == (point.metric, point.params) for q in beaten)
        assert on_front == any((q.metric, q.params) == (point.metric, point.params) for q in front)
    best = max(summary.points, key=lambda p: (p.metric, -p.params))
    assert pick(summary, "best").point.metric == best.metric
    gaps = [(p, best.metric - p.metric - paired_se(p, front[-1])) for p in front[:-1]]
    assume(all(abs(gap) > 1e-9 for _, gap in gaps))  # rounding decides these
    within = [front[-1], *(p for p, gap in gaps if gap < 0)]
    assert pick(summary, "one-se").point.params == min(p.params for p in within)
    assert pick(summary, "fastest").point.record.seconds == min(p.record.seconds for p in within)
    assert pick(summary, "smallest-export").point.params == min(p.params for p in within)
    limit = summary.points[0].params
    affordable = max(p.metric for p in summary.points if p.params <= limit)
    assert pick(summary, f"max-params={limit}").point.metric == affordable
    assert pick(summary, "knee").point is by_distance_to_the_chord(front)
    assert pick(summary, "non-inferior=1").point is front[0]
    assert pick(summary, "non-inferior=0%").point.metric <= best.metric


def paired_se(one: Point, other: Point) -> float:
    difference = one.record.final.influence - other.record.final.influence
    return float(difference.std(ddof=1) / math.sqrt(len(difference)))


def by_distance_to_the_chord(front: tuple[Point, ...]) -> Point:
    """The point farthest above the chord, measured at a right angle in the unit square."""
    if len(front) < 3:
        return front[0]
    xs = [math.log10(p.params) for p in front]
    ys = [p.metric for p in front]
    unit = [((x - xs[0]) / (xs[-1] - xs[0]), (y - ys[0]) / (ys[-1] - ys[0])) for x, y in zip(xs, ys, strict=True)]
    distances = [round((y - x) / math.sqrt(2), 9) for x, y in unit]
    return front[distances.index(max(distances))]


def test_a_metric_is_promised_only_where_it_is_likely() -> None:
    """The best of many equals is measured above the bound that it was chosen for, and is not above it."""
    summary = front_of([(rank, 60 + (7 * rank) % 11) for rank in range(1, 31)])
    best = summary.front[-1]
    with pytest.raises(InputError, match=r"no point of the front reaches 0.8\d+ with a probability of 90%"):
        pick(summary, f"min-metric={best.metric!r}")
    sure = pick(summary, f"min-metric={best.metric - 0.1!r}")
    assert sure.point is summary.front[0]
    assert "truly reaches" in sure.reason


def test_what_is_non_inferior_lies_within_the_margin_with_confidence() -> None:
    summary = front_of([(1, 90), (2, 72), (4, 63), (8, 60)])
    best = summary.front[-1]
    for margin in (0.0, 0.02, 0.05, 0.2):
        point = pick(summary, f"non-inferior={margin}").point
        sure = [p for p in summary.front if np.mean(best.draws - p.draws <= margin) >= 0.95]
        assert point is sure[0]
    percent = pick(summary, f"non-inferior={100 * 0.05 / best.metric}%")
    assert percent.point is pick(summary, "non-inferior=0.05").point
    assert "at most 5.0 points worse than the best" in percent.reason


def test_a_rule_says_how_often_it_would_choose_the_same() -> None:
    clear, near = front_of([(1, 180), (8, 20)]), front_of([(1, 62), (2, 61), (4, 60), (8, 59)])
    shares = [
        int(re.search(r"in (\d+)% of cases", pick(summary, rule).reason)[1])  # type: ignore[index]
        for summary in (clear, near)
        for rule in ("best", "one-se", "knee")
    ]
    assert min(shares[:3]) == 100
    assert max(shares[3:]) < 100


def test_any_complete_trial_can_be_picked_by_number() -> None:
    summary = summarise(results())
    assert pick(summary, "trial=0").point.record.baseline == "paper"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("bset", "is no rule; it must be best, knee, one-se, non-inferior=D"),
        ("best=3", "best takes no value"),
        ("max-params", "'' is not a whole number"),
        ("max-params=many", "'many' is not a whole number"),
        ("max-params=3", "the smallest point of the front has 1,536 parameters"),
        ("min-metric=0.99", "no point of the front reaches 0.99 with a probability of 90%; trial 4 does with 0%"),
        ("non-inferior=-1", "is below 0; it must be how much worse than the best is allowed"),
        ("non-inferior", "'' is not a number"),
        ("min-metric=nan", "'nan' is not a number"),
        ("fastest=2", "fastest takes no value"),
        ("min-metric=x", "'x' is not a number"),
        ("trial=5", "is no completely measured trial; the front has the trials 3, 4"),
        ("trial=99", "is no completely measured trial"),
    ],
)
def test_a_rule_that_cannot_be_met_says_why(rule: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        pick(summarise(results()), rule)
    assert str(caught.value).startswith(f"--pick {rule}: ")
    assert said in str(caught.value)


def test_without_a_front_there_is_nothing_to_pick() -> None:
    with pytest.raises(InputError, match="no trial was measured to the end"):
        pick(summarise(results(())), "best")


def test_a_recipe_holds_what_full_training_needs(tmp_path: Path) -> None:
    summary = summarise(results())
    chosen = pick(summary, "best")
    path = write_recipe(recipe_of(summary.results, chosen), tmp_path / "a" / "b")
    read = yaml.safe_load(path.read_text())
    assert Pyramid.from_json(read["pyramid"]) == chosen.point.record.pyramid
    assert read["training"] == {
        **summary.results.settings.training.model_dump(exclude_none=True),
        "seed": 0,
    }
    assert read["chosen"]["learning_rate"] == 2e-3
    assert read["classes"] == ["negative", "positive"]
    assert {"model", "task", "versions", "name"} <= read.keys()


def test_a_pick_says_what_its_neighbours_would_have_cost() -> None:
    smaller, larger = (pick(summarise(results()), rule).neighbours for rule in ("best", "trial=3"))
    assert smaller == ("the next smaller, trial 3 (1/0/0): 1,536 parameters (0.11 times), -0.0400 ± 0.0098",)
    assert larger[0].startswith(
        "the next larger, trial 4 (2/(1,2)/(0,1) in 0:2 2:6): 13,824 parameters (9.00 times)"
    )
    off_front = pick(summarise(results()), "trial=9").neighbours
    assert [line.split(",")[0] for line in off_front] == ["the next smaller", "the next larger"]


def test_a_pyramid_is_carried_to_a_deeper_model_with_its_count(tmp_path: Path) -> None:
    summary = summarise(results())
    recipe = recipe_of(summary.results, pick(summary, "trial=4"))
    deeper = save_model(tmp_path / "deeper", layers=12)
    carried = carry_over(recipe, str(deeper))
    pyramid = Pyramid.from_json(carried["pyramid"])
    assert [(g.start, g.stop, g.mid_rank, g.layer_rank) for g in pyramid.groups] == [(0, 4, 1, 0), (4, 12, 2, 1)]
    assert carried["model"] == str(deeper)
    assert carried["chosen"]["adapter_params"] == pyramid.count({"query": (32, 32), "value": (32, 32)})
    assert carried["chosen"]["carried_from"]["model"] == recipe["model"]
    with pytest.raises(InputError, match="2 depth groups do not fit 1 layers"):
        carry_over(recipe, str(save_model(tmp_path / "shallow", layers=1)))


def test_a_recipe_needs_a_folder_it_can_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    summary = summarise(results())
    with pytest.raises(InputError, match="name a folder that can be written"):
        write_recipe(recipe_of(summary.results, pick(summary, "best")), tmp_path / "file")
