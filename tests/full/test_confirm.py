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
from msplora_search.errors import InputError
from msplora_search.full.confirm import candidates, confirm
from msplora_search.full.jobs import OneTraining
from msplora_search.full.judgement import judge_found
from msplora_search.full.training import Trained, train_recipe
from msplora_search.search.points import Point
from msplora_search.search.results import load_results
from msplora_search.search.summary import summarise
from msplora_search.settings import StudySettings
from msplora_search.settings.recipe import Recipe
from tests.example import JUDGE, LABELS, evaluation, records, results
from tests.small import study_fields

SUMMARY = summarise(results())
CANDIDATES = candidates(SUMMARY)


def test_the_front_and_every_baseline_are_confirmed_once() -> None:
    numbers = [p.record.number for p in CANDIDATES]
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    assert [p.params for p in CANDIDATES] == sorted(p.params for p in CANDIDATES)


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
    heard: list[OneTraining] = []
    confirmed = confirm(found, output, 2, heard.append)
    points: list[Point] = candidates(summarise(found))
    assert [one.done for one in heard] == list(range(1, 2 * len(points) + 1))
    assert [one.seconds is None for one in heard] == [True, True] + [False] * (2 * len(points) - 2)
    assert capsys.readouterr().out == ""
    assert len(calls) == 2 * len(points) + 1
    assert all(len(run.predictions) == 100 for c in confirmed.points for run in c.runs)
    told = confirmed.to_json()
    assert [p["trial"] for p in told["points"]] == [p.record.number for p in points]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert not list(output.rglob("checkpoints"))


@pytest.mark.slow
def test_workers_confirm_the_same_as_one_process(tmp_path: Path) -> None:
    fields = study_fields(tmp_path, search={"trials": 2, "sampler": "random"}, training={"learning_rate": 2e-2})
    found = load_results(run_study(StudySettings.model_validate(fields), tmp_path / "out"))
    shorter = ["training.epochs=1"]
    alone = confirm(found, tmp_path / "alone", 1, overrides=shorter)
    heard: list[OneTraining] = []
    shared = confirm(found, tmp_path / "shared", 1, heard.append, workers=2, overrides=shorter)
    assert [c.name for c in shared.points] == [c.name for c in alone.points]
    assert [c.mean for c in shared.points] == pytest.approx([c.mean for c in alone.points], abs=0.02)
    assert [one.done for one in heard] == list(range(1, len(alone.points) + 1))
    with pytest.raises(InputError, match=r"is of other settings; give the --set .* or delete"):
        confirm(found, tmp_path / "alone", 1)
    with pytest.raises(InputError, match=r"--set proxy\.epochs=1: must be a field of full training"):
        confirm(found, tmp_path / "alone", 1, overrides=["proxy.epochs=1"])


def test_a_training_in_other_hands_is_left_alone(tmp_path: Path) -> None:
    with ExitStack() as held:
        for point in CANDIDATES:
            folder = tmp_path / "confirm" / f"trial-{point.record.number}-seed-0"
            folder.mkdir(parents=True)
            held.enter_context(FileLock(folder / ".lock", is_singleton=False))
        with pytest.raises(InputError, match="another process trains there"):
            confirm(results(records()), tmp_path, 1)
