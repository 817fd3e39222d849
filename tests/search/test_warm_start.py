from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from msplora_search import load_front, run_study
from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.errors import InputError
from msplora_search.full.checks import check_study
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.events import SearchStarted
from msplora_search.search.proposal import Proposer
from msplora_search.search.results import load_results
from msplora_search.search.store.attributes import CARRIED, store_plan
from msplora_search.search.store.carried import EarlierPoint
from msplora_search.search.summary import summarise
from msplora_search.search.warm_start import carried_over, spread
from msplora_search.settings import StudySettings, load_study
from tests.end_to_end.test_cli import snapshot
from tests.program import call
from tests.search.test_resume import Killed, stop_at
from tests.search.test_study import search
from tests.small import save_model, study_fields, write_study
from tests.strategies import pyramids, rates, search_spaces

DRAWN = drawn(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
QV = ("query", "value")


def units(pyramid: Pyramid) -> int:
    return pyramid.rank_units * len(pyramid.targets)


def earlier(pyramid: Pyramid, rate: float = 2e-2, trial: int = 0) -> EarlierPoint:
    return EarlierPoint(("earlier", trial), pyramid, rate)


@DRAWN
@given(st.lists(st.tuples(pyramids(), rates()), max_size=4), search_spaces(), st.none() | st.integers(1, 40))
def test_what_is_carried_over_lies_in_the_space_each_once_by_rising_parameters(
    points: list[tuple[Pyramid, float]], space: SearchSpace, limit: int | None
) -> None:
    carried = carried_over([earlier(*point) for point in points], space, units, limit)
    found = [(choice.pyramid(), rate) for choice, rate, _ in carried]
    assert len(found) == len(set(found)) <= len(points)
    sizes = [units(pyramid) for pyramid, _ in found]
    assert sizes == sorted(sizes)
    assert all(limit is None or size <= limit for size in sizes)
    proposer = Proposer(space)
    for choice, rate, _ in carried:
        assert space.contains(choice.pyramid())
        assert space.contains_rate(rate)
        proposed, at = proposer.propose(optuna.trial.FixedTrial(proposer.parameters(choice, rate)))
        assert (proposed.pyramid(), at) == (choice.pyramid(), rate)
    assert not carried_over([earlier(*point) for point in points], space, units, limit, set(found))


@DRAWN
@given(search_spaces(most_layers=4), st.data())
def test_a_front_of_the_same_space_and_depth_is_carried_over_unchanged(
    space: SearchSpace, data: st.DataObject
) -> None:
    assume((space.pyramids or 0) < 500)
    rated = [2.5e-3] if isinstance(space.learning_rate, LogRange) else list(space.learning_rate)
    every = st.tuples(st.sampled_from([pyramid for pyramid, _ in every_choice(space)]), st.sampled_from(rated))
    front = data.draw(st.lists(every, max_size=5, unique=True))
    carried = carried_over([earlier(*point) for point in front], space, units)
    assert {(choice.pyramid(), rate) for choice, rate, _ in carried} == set(front)


@given(st.integers(0, 12), st.integers(-3, 12))
def test_where_not_all_fit_both_ends_and_what_is_between_them_do(count: int, most: int) -> None:
    points = [earlier(Pyramid.lora(1, 2, QV), trial=i) for i in range(count)]
    found = [point.origin[1] for point in spread(points, most)]
    assert len(found) == len(set(found)) == max(0, min(count, most))
    assert found == sorted(found)
    if len(found) > 1:
        assert (found[0], found[-1]) == (0, count - 1)
        assert max(b - a for a, b in pairwise(found)) - min(b - a for a, b in pairwise(found)) <= 1


FRONT = [
    Pyramid.from_split((0, 1, 0), (0, 6, 12), QV),
    Pyramid.from_split((2, 0, 0), (0, 12), QV),
    Pyramid.from_split((2, 1, 0), (0, 6, 12), QV),
    Pyramid.from_split((4, 2, 1), (0, 6, 12), QV),
]
"""Of a model of 12 layers."""
CARRIED_OVER = ["0/0/1", "2/0/0", "2/0/1", "2/1/1 in 0:1 1:2"]
"""The same in the space of the small study, of 2 layers: in one layer the mid level is the layer level. Its ranks
are 2, 1 and 1 at most, and LoRA of rank 1 is a baseline."""


def write_front(folder: Path, front: list[Pyramid] = FRONT, name: str = "front.json") -> Path:
    """A front.json of these pyramids."""
    common = {
        "baseline": None, "metric": 0.5, "metric_se": 0.1, "adapter_params": 9, "trainable_params": 9,
        "front_probability": 1.0, "learning_rate": 1e-3,
    }  # fmt: skip
    points = [{**common, "trial": trial, "pyramid": pyramid.to_json()} for trial, pyramid in enumerate(front)]
    path = folder / name
    path.write_text(json.dumps({"front": points}))
    return path


def proposed(records: tuple[TrialRecord, ...] | list[TrialRecord]) -> list[str]:
    return [str(record.pyramid) for record in records if record.counts and not record.baseline]


def carried_trials(folder: Path) -> dict[int, Any]:
    """What trials are marked by."""
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{folder / 'out' / 'study.db'}")
    return {trial.number: trial.user_attrs[CARRIED] for trial in study.trials if CARRIED in trial.user_attrs}


def warm(path: Path, **search_fields: Any) -> dict[str, Any]:
    return {"trials": 4, "sampler": "random", "warm_start": [str(path)], **search_fields}


def test_what_is_carried_over_is_proposed_after_the_baselines_and_before_the_sampler(tmp_path: Path) -> None:
    front = write_front(tmp_path)
    results, events = search(tmp_path, search=warm(front, trials=5))
    assert [bool(r.baseline) for r in results.records if r.counts] == [True, True, *[False] * 5]
    assert proposed(results.records)[:3] == CARRIED_OVER[1:]
    assert {r.learning_rate for r in results.records} == {2e-2}
    assert carried_trials(tmp_path) == {2: [str(front), 1], 3: [str(front), 2], 4: [str(front), 3]}
    started = events[0]
    assert isinstance(started, SearchStarted)
    assert started.notes[0] == (
        "proposed first: 3 of the 4 points on the front of an earlier study; the others are equal to them, "
        "trained in any case, over search.max_params or beyond search.trials"
    )


def test_it_is_proposed_once_and_needs_the_earlier_study_no_more(tmp_path: Path) -> None:
    front = write_front(tmp_path)
    first, _ = search(tmp_path, search=warm(front))
    front.unlink()
    again, _ = search(tmp_path, search=warm(front, trials=5))
    assert proposed(again.records)[:4] == proposed(first.records)
    assert len(proposed(again.records)) == 5
    assert list(carried_trials(tmp_path)) == [2, 3, 4]


def test_more_trials_propose_what_had_no_room(tmp_path: Path) -> None:
    front = write_front(tmp_path)
    few, _ = search(tmp_path, search=warm(front, trials=2))
    assert proposed(few.records) == [CARRIED_OVER[1], CARRIED_OVER[3]]
    more, events = search(tmp_path, search=warm(front, trials=4))
    assert proposed(more.records)[:3] == [CARRIED_OVER[1], CARRIED_OVER[3], CARRIED_OVER[2]]
    assert len(proposed(more.records)) == 4
    assert isinstance(events[0], SearchStarted)
    assert events[0].notes[0].startswith("proposed first: 3 of the 4 points")


def test_a_search_that_goes_on_may_name_further_studies_or_none(tmp_path: Path) -> None:
    front, other = write_front(tmp_path, FRONT[:2]), write_front(tmp_path, FRONT[2:], "other.json")
    search(tmp_path, search=warm(front, trials=1))
    both = {"warm_start": [str(front), str(other)], "sampler": "random"}
    results, events = search(tmp_path, search={"trials": 3, **both})
    assert proposed(results.records) == CARRIED_OVER[1:]
    assert isinstance(events[0], SearchStarted)
    assert events[0].notes[0].startswith("proposed first: 3 of the 4 points on the fronts of 2 earlier studies;")
    results, _ = search(tmp_path, search={"trials": 3, "sampler": "random"})
    assert len(proposed(results.records)) == 3


def test_what_was_dropped_from_the_list_is_not_proposed_any_more(tmp_path: Path) -> None:
    front = write_front(tmp_path)
    search(tmp_path, search=warm(front, trials=0))
    search(tmp_path, search={"trials": 1, "sampler": "random"})
    assert not carried_trials(tmp_path)


def test_points_that_are_too_rich_are_left_out(tmp_path: Path) -> None:
    results, _ = search(tmp_path, search=warm(write_front(tmp_path), max_params=384, trials=2, baselines=[]))
    assert proposed(results.records) == CARRIED_OVER[:2]
    assert all(record.adapter_params <= 384 for record in results.records)


@pytest.mark.parametrize("number", [2, 3])
def test_a_point_whose_process_died_before_it_was_planned_is_proposed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def dying(trial: optuna.Trial, record: TrialRecord, worker: Any) -> None:
        if trial.number == number:
            raise Killed
        store_plan(trial, record, worker)

    front = write_front(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("msplora_search.search.objective.store_plan", dying)
        patch.setattr("msplora_search.search.loop.Loop._give_up", lambda *_: None)
        with pytest.raises(Killed):
            search(tmp_path, search=warm(front))
    results, _ = search(tmp_path, search=warm(front))
    assert sorted(proposed(results.records)[:3]) == sorted(CARRIED_OVER[1:])
    assert len(proposed(results.records)) == 4


def test_a_point_whose_training_was_interrupted_is_trained_anew_and_stays_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = write_front(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("msplora_search.search.loop.Loop._give_up", lambda *_: None)
        with pytest.raises(Killed):
            run_study(
                StudySettings.model_validate(study_fields(tmp_path, search=warm(front))),
                tmp_path / "out",
                listen=stop_at(3),
            )
    results, _ = search(tmp_path, search=warm(front))
    assert sorted(proposed(results.records)[:3]) == sorted(CARRIED_OVER[1:])
    assert len(proposed(results.records)) == 4
    marked = carried_trials(tmp_path)
    (anew,) = [number for number, origin in marked.items() if number != 3 and origin == marked[3]]
    assert [str(r.pyramid) for r in results.records if r.number == anew] == [CARRIED_OVER[2]]


def test_a_carried_point_may_be_stopped_early_as_any_proposal(tmp_path: Path) -> None:
    eager = {"rule": "envelope", "chance": 1.0}
    front = write_front(tmp_path)
    results, _ = search(tmp_path, search=warm(front, baselines=[{"lora": [1, 2]}]), pruning=eager)
    carried = carried_trials(tmp_path)
    assert any(r.number in carried and r.state == State.PRUNED for r in results.records)


def test_an_earlier_study_without_a_report_is_read_from_its_storage(tmp_path: Path) -> None:
    search(tmp_path, search={"trials": 3, "sampler": "random", "baselines": []})
    (tmp_path / "out").rename(tmp_path / "first")
    search(tmp_path, search=warm(tmp_path / "first", baselines=[]))
    from_storage = {tuple(origin) for origin in carried_trials(tmp_path).values()}
    front = summarise(load_results(tmp_path / "first")).front
    assert from_storage == {(str(tmp_path / "first"), point.record.number) for point in front}
    assert front


def lost(folder: Path) -> None:
    (folder / "earlier").rmdir()


def without_a_study(folder: Path) -> None:
    pass


def damaged(folder: Path) -> None:
    (folder / "earlier" / "report").mkdir()
    (folder / "earlier" / "report" / "front.json").write_text("{")


def empty(folder: Path) -> None:
    (folder / "earlier" / "report").mkdir()
    write_front(folder / "earlier" / "report", [])


def of_an_odd_rate(folder: Path) -> None:
    (folder / "earlier" / "report").mkdir()
    path = write_front(folder / "earlier" / "report")
    path.write_text(path.read_text().replace("0.001", "0"))


def damaged_storage(folder: Path) -> None:
    (folder / "earlier" / "study.db").write_text("no database, but as long as one " * 40)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lost, "but nothing is there; give the output folder of an earlier study, or its front.json"),
        (without_a_study, "holds no study.db with a study; give the output folder of a run"),
        (damaged, "report/front.json: is no front.json of this program: "),
        (empty, "whose front has no point; give a study that measured something"),
        (of_an_odd_rate, "learning_rate is 0; it must be above 0 and below 1"),
        (damaged_storage, "file is not a database"),
    ],
)
def test_what_cannot_be_carried_over_is_refused_before_anything_is_loaded_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], said: str
) -> None:
    study = write_study(tmp_path, search={"warm_start": [str(write_front(tmp_path)), "earlier"]})
    (tmp_path / "earlier").mkdir()
    spoil(tmp_path)
    before = snapshot(tmp_path)
    settings = load_study(str(study))
    monkeypatch.setattr(Workbench, "load", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(InputError) as caught:
        run_study(settings, tmp_path / "out")
    line = next(i for i, text in enumerate(study.read_text().splitlines(), 1) if text.strip() == "- earlier")
    assert str(caught.value).startswith(f"{study}:{line}: search.warm_start.1 is ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "out").exists()
    assert check_study(settings).problems == [str(caught.value)]


@pytest.mark.slow
def test_a_study_of_four_layers_begins_with_the_front_of_one_of_two(tmp_path: Path) -> None:
    """By the command line, with two workers."""
    ranks = {"global_rank": [0, 1, 2], "mid_rank": [0, 1], "layer_rank": [0, 1, 2], "groups": {"count": [1, 2]}}
    fields = {"sampler": "random", "baselines": [], "trials": 5}
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    save_model(second / "model", layers=4)
    done = call("run", write_study(first, space=ranks, search=fields), "--output", first / "out")
    assert done.returncode == 0, done.stderr
    front = [point.pyramid.at_depth(4) for point in load_front(first / "out")]
    fields = {**fields, "trials": len(front) + 2, "warm_start": ["../first/out"]}
    study = write_study(second, space=ranks, search=fields)
    done = call("run", study, "--output", second / "out", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert (
        f"proposed first: {len(front)} of the {len(front)} points on the front of an earlier study" in done.stdout
    )
    records = load_results(second / "out").records
    assert sum(record.counts for record in records) == len(front) + 2
    assert [record.pyramid for record in records[: len(front)]] == sorted(front, key=units)
    assert yaml.safe_load((second / "out" / "study.yaml").read_text())["search"]["warm_start"] == [
        str(first / "out")
    ]
