from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from msplora_search import run_study
from msplora_search.analysis.reading import read_trained
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.confirm import LEAST_PROBABILITY, candidates, confirm, read_rates
from msplora_search.full.jobs import OneTraining, Planned
from msplora_search.full.judgement import Tried, chosen_rate, judge_found
from msplora_search.full.training import Trained, train_recipe
from msplora_search.reporting.confirmation import confirmation_lines, told_of
from msplora_search.search.points import Point
from msplora_search.search.results import load_results
from msplora_search.search.summary import summarise
from msplora_search.settings import StudySettings
from msplora_search.settings.recipe import Recipe
from tests.example import JUDGE, LABELS, LAYERS, QV, evaluation, record, records, results, split
from tests.small import study_fields

SUMMARY = summarise(results())
CANDIDATES = [point for point in candidates(SUMMARY) if point.record.number < 5]
"""The front and the baselines; trial 9 may be on the true front."""


def test_the_front_and_every_baseline_are_confirmed_once() -> None:
    numbers = [p.record.number for p in candidates(SUMMARY)]
    assert sorted(numbers) == [0, 1, 2, 3, 4, 9]
    assert [p.params for p in CANDIDATES] == sorted(p.params for p in CANDIDATES)


def test_what_may_be_on_the_true_front_is_confirmed_too() -> None:
    hopeless = record(10, split(4, 1, 0), 130)
    summary = summarise(results((*records(), hopeless)))
    likely = {p.record.number for p in summary.points if p.front_probability >= LEAST_PROBABILITY}
    assert likely - {p.record.number for p in summary.front} == {9}
    shown = {p.record.number for p in candidates(summary)}
    assert shown == likely | {p.record.number for p in [*summary.front, *summary.baselines.values()]}


def test_a_pyramid_is_confirmed_once_whatever_the_rate_of_its_proxy() -> None:
    """Full training has a rate of its own; what is a baseline too goes by the baseline's name."""
    paper, uneven = records()[0].pyramid, records()[4].pyramid
    again = (record(10, paper, 58, learning_rate=1e-3), record(11, uneven, 59, learning_rate=1e-3))
    summary = summarise(results((*records(), *again)))
    found = candidates(summary)
    assert len({p.record.pyramid for p in found}) == len(found)
    assert next(p for p in found if p.record.pyramid == paper).name == "paper"
    assert next(p for p in found if p.record.pyramid == uneven).record.number == 11


wrongs = st.lists(st.integers(20, 150), min_size=2, max_size=2)


@settings(max_examples=25)
@given(st.lists(wrongs, min_size=5, max_size=5))
@example([[20, 20], [20, 20], [20, 20], [20, 93], [25, 88]])  # equal means of unequal seeds
def test_means_front_and_ranking_are_those_of_plain_statistics(cells: list[list[int]]) -> None:
    found = [
        (point, tuple(evaluation(1.0, wrong, 7 * i + s) for s, wrong in enumerate(row)))
        for i, (point, row) in enumerate(zip(CANDIDATES, cells, strict=True))
    ]
    judged = judge_found(SUMMARY.results, found, JUDGE)
    means = [round(1 - np.mean(row) / len(LABELS), 12) for row in cells]
    assert [c.mean for c in judged.points] == pytest.approx(means)
    expected = stats.kendalltau([p.metric for p in CANDIDATES], means).statistic
    assert judged.ranking.tau == pytest.approx(expected, nan_ok=True)
    best = [max(means[: i + 1]) for i in range(5)]
    on_front = [m for i, m in enumerate(means) if m == best[i] and (i == 0 or m > best[i - 1])]
    assert [c.mean for c in judged.front] == pytest.approx(on_front)
    for c in judged.points:
        assert c.interval[0] < c.mean < c.interval[1]
        for versus in c.comparisons:
            rival = next(o for o in judged.points if o.name == versus.baseline)
            assert versus.difference == pytest.approx(c.mean - rival.mean)
            assert versus.interval[0] <= versus.difference <= versus.interval[1]
            assert (versus.p_value < 0.05) == (versus.interval[0] > 0 or versus.interval[1] < 0)


def test_rivals_are_the_paper_and_the_smallest_lora_with_no_fewer_parameters() -> None:
    found = [(point, (evaluation(1.0, 60, i), evaluation(1.0, 60, i))) for i, point in enumerate(CANDIDATES)]
    judged = judge_found(SUMMARY.results, found, JUDGE)
    rivals = {c.name: [v.baseline for v in c.comparisons] for c in judged.points}
    assert rivals == {
        "trial 3": ["paper", "lora-1"], "lora-1": ["paper"], "trial 4": ["paper", "lora-2"], "lora-2": ["paper"],
        "paper": [],
    }  # fmt: skip


def test_one_seed_compares_as_the_paired_test_over_examples() -> None:
    one, other = evaluation(1.0, 60, 0), evaluation(1.0, 80, 3)
    found = [(p, (other if p.record.baseline == "paper" else one,)) for p in CANDIDATES]
    judged = judge_found(SUMMARY.results, found, JUDGE)
    versus = judged.points[0].comparisons[0]
    reference = stats.ttest_rel(*(1.0 * (run.predictions == LABELS) for run in (one, other)))
    assert versus.p_value == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval(0.95)
    assert versus.interval == pytest.approx((low, high))


def test_with_seeds_the_noise_of_training_is_pooled_over_all_points() -> None:
    """Points whose own seeds happen to agree get intervals as wide as the others'."""
    wrongs = [(60, 61), (60, 61), (40, 80), (60, 61), (60, 61)]
    found = [
        (point, tuple(evaluation(1.0, wrong) for wrong in row))
        for point, row in zip(CANDIDATES, wrongs, strict=True)
    ]
    judged = judge_found(SUMMARY.results, found, JUDGE)
    noise = judged.noise
    assert noise is not None
    assert noise.degrees == 5
    assert noise.sum_squares == pytest.approx((4 * 0.5 + 800) / 400**2)
    widths = [c.interval[1] - c.interval[0] for c in judged.points]
    assert widths == pytest.approx([widths[0]] * 5, rel=0.05)
    assert all(versus.p_adjusted >= versus.p_value for c in judged.points for versus in c.comparisons)


def test_the_proxy_is_judged_by_the_pairs_that_full_training_tells_apart() -> None:
    """The proxy has trial 4 (15% wrong) first, then the paper's, lora-2, trial 3 and lora-1 (20%)."""
    wrongs = {"trial 4": 20, "paper": 160, "lora-2": 22, "trial 3": 24, "lora-1": 161}
    found = [(p, (evaluation(1.0, wrongs[p.name]), evaluation(1.0, wrongs[p.name]))) for p in CANDIDATES]
    ranking = judge_found(SUMMARY.results, found, JUDGE).ranking
    # what differs by 2 or 4 of 400 is not told apart; the paper's and lora-1 are from the three others
    assert (ranking.pairs, ranking.told_apart) == (10, 6)
    assert ranking.rightly == 4  # the paper's is worse than lora-2 and trial 3, though the proxy has it first
    assert ranking.perfect_tau > 0.5


def test_two_points_that_are_rivals_of_each_other_are_one_comparison() -> None:
    """Its p-value needs no adjustment, and says what telling pairs apart says."""
    paper = record(0, Pyramid.geometric(8, LAYERS), 60, baseline="paper")
    lora = record(1, Pyramid.lora(8, LAYERS, QV), 80, baseline="lora-8")
    runs = [(evaluation(1.0, 60, 0), evaluation(1.0, 62, 5)), (evaluation(1.0, 90, 9), evaluation(1.0, 92, 2))]
    judged = judge_found(SUMMARY.results, list(zip((Point((paper,)), Point((lora,))), runs, strict=True)), JUDGE)
    versus = [versus for one in judged.points for versus in one.comparisons]
    assert [one.baseline for one in versus] == ["lora-8", "paper"]
    assert versus[0].p_value == pytest.approx(versus[1].p_value) == pytest.approx(versus[0].p_adjusted)
    assert versus[0].p_adjusted == versus[1].p_adjusted
    assert judged.ranking.told_apart == (versus[0].p_adjusted < 0.05)
    said = " ".join(confirmation_lines(told_of(judged)))
    assert "p is two-sided, of the only comparison made. Intervals and bounds hold with 95% each." in said


@pytest.mark.parametrize("text", ["", "1e-3", "1e-3,", "1e-3,1e-3", "1e-3,2", "0,1e-3", "a,b", "nan,1e-3"])
def test_rates_that_leave_no_choice_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--rates .*: must be two or more learning rates, .* such as 5e-4,1e-3"):
        read_rates(text)
    assert read_rates("1e-3, 5e-4") == [1e-3, 5e-4]


def test_the_better_rate_is_the_lower_of_equals() -> None:
    tried = (Tried(1e-4, 0.8), Tried(5e-4, 0.9), Tried(1e-3, 0.9))
    assert chosen_rate(tried) == 5e-4


class Heard(list[OneTraining]):
    """What `confirm` tells: trainings, and before them what is planned."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: list[Planned] = []

    def take(self, event: Planned | OneTraining) -> None:
        if isinstance(event, Planned):
            self.planned.append(event)
        else:
            self.append(event)


@pytest.mark.slow
def test_the_better_of_two_rates_is_chosen_on_rows_of_its_own(tmp_path: Path) -> None:
    fields = study_fields(
        tmp_path, search={"trials": 1, "sampler": "random", "baselines": ["paper"], "seed": 7},
        training={"epochs": 2},
    )  # fmt: skip
    output = run_study(StudySettings.model_validate(fields), tmp_path / "out")
    found = load_results(output)
    with pytest.raises(InputError, match=r"--set training\.learning_rate=1: --rates says it already"):
        confirm(found, output, 1, overrides=["training.learning_rate=1"], rates=[1e-6, 2e-2])
    heard = Heard()
    confirmed = confirm(found, output, 1, heard.take, rates=[2e-2, 1e-6])
    points = candidates(summarise(found))
    assert heard.planned == [Planned(2 * len(points), len(points), 1, 2, 0, 1)]
    assert {(one.rate, one.seed) for one in heard} == {(1e-6, 1007), (2e-2, 1007)}
    assert {folder.name for folder in (output / "confirm").iterdir()} == {
        f"trial-{p.record.number}-rate-{rate}-seed-1007" for p in points for rate in (1e-06, 0.02)
    }
    for point in confirmed.points:
        low, high = point.tried
        assert (low.rate, high.rate) == (1e-6, 2e-2)
        assert low.metric < high.metric
        assert point.rate == 2e-2
        assert point.runs[0].metric == next(o.metric for o in heard if (o.name, o.rate) == (point.name, 2e-2))
    assert confirm(found, output, 1, heard.take, rates=[1e-6, 2e-2]).to_json() == confirmed.to_json()
    assert all(one.seconds is None for one in heard[2 * len(points) :])


def test_a_study_without_results_has_nothing_to_confirm(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to confirm"):
        confirm(results(()), tmp_path, 1)
    with pytest.raises(InputError, match="--seeds 0"):
        confirm(results(records()), tmp_path, 0)


@pytest.mark.slow
def test_a_search_is_confirmed_on_rows_it_never_read_and_goes_on_when_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = study_fields(
        tmp_path, search={"trials": 3, "sampler": "random"}, training={"epochs": 2, "learning_rate": 2e-2}
    )
    output = run_study(StudySettings.model_validate(fields), tmp_path / "out")
    found = load_results(output)
    calls: list[str] = []
    stop_at = 3

    def counted(recipe: Recipe, place: Path, quiet: bool, choosing: bool) -> Trained:
        calls.append(place.name)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return train_recipe(recipe, place, quiet, choosing)

    monkeypatch.setattr("msplora_search.full.jobs.train_recipe", counted)
    with pytest.raises(KeyboardInterrupt):
        confirm(found, output, 2)
    heard = Heard()
    confirmed = confirm(found, output, 2, heard.take)
    points: list[Point] = candidates(summarise(found))
    assert heard.planned == [Planned(2 * len(points), len(points), 2, 1, 2, 1)]
    assert [one.done for one in heard] == list(range(1, 2 * len(points) + 1))
    assert [one.left is None for one in heard] == [True, True] + [False] * (2 * len(points) - 2)
    assert heard[-1].left == 0
    assert heard[2].left == pytest.approx((heard[2].seconds or 0) * (2 * len(points) - 3))
    assert [one.seconds is None for one in heard] == [True, True] + [False] * (2 * len(points) - 2)
    assert capsys.readouterr().out == ""
    assert len(calls) == 2 * len(points) + 1
    assert all(len(run.predictions) == 100 for c in confirmed.points for run in c.runs)
    told = confirmed.to_json()
    assert [p["trial"] for p in told["points"]] == [p.record.number for p in points]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert not list(output.rglob("checkpoints"))
    assert [len(c.adapters) for c in confirmed.points] == [2] * len(points)
    for one in confirmed.points:
        assert {str(read_trained(folder).name) for folder in one.adapters} == {f.parent.name for f in one.adapters}
    assert all(isinstance(point["signs"], list) for point in told_of(confirmed)["points"])


@pytest.mark.slow
def test_workers_confirm_the_same_as_one_process(tmp_path: Path) -> None:
    fields = study_fields(tmp_path, search={"trials": 2, "sampler": "random"}, training={"learning_rate": 2e-2})
    found = load_results(run_study(StudySettings.model_validate(fields), tmp_path / "out"))
    shorter = ["training.epochs=1"]
    alone = confirm(found, tmp_path / "alone", 1, overrides=shorter)
    heard = Heard()
    shared = confirm(found, tmp_path / "shared", 1, heard.take, workers=2, overrides=shorter)
    assert [c.name for c in shared.points] == [c.name for c in alone.points]
    assert [c.mean for c in shared.points] == pytest.approx([c.mean for c in alone.points], abs=0.02)
    assert heard.planned == [Planned(len(alone.points), len(alone.points), 1, 1, 0, 2)]
    assert [one.done for one in heard] == list(range(1, len(alone.points) + 1))
    with pytest.raises(InputError, match=r"is of other settings; give the --set .* or delete"):
        confirm(found, tmp_path / "alone", 1)
    with pytest.raises(InputError, match=r"--set proxy\.epochs=1: must be a field of full training"):
        confirm(found, tmp_path / "alone", 1, overrides=["proxy.epochs=1"])


def test_a_training_in_other_hands_is_left_alone(tmp_path: Path) -> None:
    with ExitStack() as held:
        for point in candidates(SUMMARY):
            folder = tmp_path / "confirm" / f"trial-{point.record.number}-seed-1000"
            folder.mkdir(parents=True)
            held.enter_context(FileLock(folder / ".lock", is_singleton=False))
        with pytest.raises(InputError, match="another process trains there"):
            confirm(results(records()), tmp_path, 1)
