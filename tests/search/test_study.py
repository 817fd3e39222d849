from __future__ import annotations

import json
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch

from msplora_search import run_study
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.errors import InputError
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.events import Event, SearchEnded, SearchStarted, TrialEnded
from msplora_search.search.part import UNFINISHED
from msplora_search.search.results import StudyResults, load_results
from msplora_search.search.summary import summarise
from msplora_search.settings import StudySettings
from tests import program
from tests.small import study_fields, write_study

FINITE = {"global_rank": [0, 1], "mid_rank": [0], "layer_rank": [0, 1], "groups": {"count": [1]}}
"""A space of three configurations."""


def search(folder: Path, storage: str | None = None, **changes: Any) -> tuple[StudyResults, list[Event]]:
    settings = StudySettings.model_validate(study_fields(folder, **changes))
    events: list[Event] = []
    output = run_study(settings, folder / "out", storage, events.append)
    return load_results(output, storage), events


def configurations(results: StudyResults) -> list[tuple[Pyramid | None, float]]:
    return [r.configuration for r in results.records if r.state in (State.COMPLETE, State.PRUNED)]


def ended(events: list[Event]) -> list[TrialRecord]:
    return [event.record for event in events if isinstance(event, TrialEnded)]


def test_baselines_run_first_then_as_many_proposals_as_asked_for(tmp_path: Path) -> None:
    results, events = search(tmp_path)
    assert [r.baseline for r in results.records if r.counts] == ["paper", "lora-1", None, None, None, None]
    assert all(r.state == State.COMPLETE for r in results.records[:2])
    started, last = events[0], events[-1]
    assert isinstance(started, SearchStarted)
    assert (started.baselines, started.trials, started.configurations) == (2, 4, results.facts["configurations"])
    assert isinstance(last, SearchEnded)
    assert last.reason == "4 proposals trained"


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random", "brute-force"])
def test_every_sampler_searches_and_trains_nothing_twice(tmp_path: Path, sampler: str) -> None:
    results, _ = search(tmp_path, search={"sampler": sampler, "trials": 14})
    trained = configurations(results)
    assert len(trained) == len(set(trained))
    workbench = Workbench.load(results.settings)
    space = workbench.space()
    for record in results.records:
        assert record.state != State.FAILED
        if record.pyramid is not None:
            assert record.baseline or space.contains(record.pyramid)
            assert record.adapter_params == workbench.adapter_params(record.pyramid)


def test_the_closed_form_is_the_count_of_every_model_that_was_built(tmp_path: Path) -> None:
    results, _ = search(tmp_path, search={"trials": 8, "sampler": "random"})
    shapes = {"query": (32, 32), "value": (32, 32)}
    for record in results.records:
        assert record.adapter_params == (record.pyramid.count(shapes) if record.pyramid else 0)
        assert record.trainable_params == record.adapter_params + 2 * 32 + 2


def test_a_repeated_proposal_is_answered_from_the_record(tmp_path: Path) -> None:
    results, _ = search(tmp_path, space={**FINITE, "learning_rate": 2e-2}, search={"trials": 12, "baselines": []})
    repeats = [r for r in results.records if r.state == State.DUPLICATE]
    for record in repeats:
        assert (record.steps, record.seconds) == (0, 0.0)
        earlier = results.records[int(record.reason.split(",")[0].removeprefix("trial "))]
        assert earlier.configuration == record.configuration
        assert record.final.metric == earlier.final.metric
    assert len(set(configurations(results))) == len(configurations(results))


def test_another_learning_rate_is_another_configuration(tmp_path: Path) -> None:
    space = {"global_rank": [1], "mid_rank": [0], "layer_rank": [0], "learning_rate": [1e-2, 2e-2]}
    results, events = search(tmp_path, space=space, search={"trials": 20, "sampler": "random", "baselines": []})
    assert sorted(rate for _, rate in configurations(results)) == [1e-2, 2e-2]
    assert isinstance(events[-1], SearchEnded)
    assert events[-1].reason == "the space is exhausted: all 2 configurations are measured"


def test_a_search_trains_and_tells_pyramids_of_its_scaling(tmp_path: Path) -> None:
    space = {"global_rank": [2], "mid_rank": [0], "layer_rank": [0, 1], "scaling": "rank-stabilised"}
    results, _ = search(tmp_path, space=space, search={"sampler": "random", "trials": 6})
    scalings = {r.pyramid.scaling for r in results.records if r.pyramid and not r.baseline}
    assert scalings == {Scaling.RANK_STABILISED}
    assert results.records[0].pyramid == Pyramid.geometric(8, 2, 2, scaling="rank-stabilised")
    front = summarise(results).to_json()["front"]
    told = {point["trial"]: Pyramid.from_json(json.loads(json.dumps(point["pyramid"]))) for point in front}
    assert told == {number: results.records[number].pyramid for number in told}


def test_an_exhausted_space_ends_the_search_with_a_message(tmp_path: Path) -> None:
    results, events = search(tmp_path, space=FINITE, search={"trials": 50, "sampler": "brute-force"})
    assert isinstance(events[-1], SearchEnded)
    assert "the space is exhausted: all 3 configurations" in events[-1].reason
    assert len(results.records) < 20


def test_max_params_refuses_before_training(tmp_path: Path) -> None:
    limit = 200
    results, _ = search(tmp_path, search={"trials": 12, "sampler": "random", "max_params": limit})
    refused = [r for r in results.records if r.state == State.REFUSED]
    assert refused
    for record in refused:
        assert record.adapter_params > limit or record.pyramid is None
        assert record.steps == 0
    assert all(r.adapter_params <= limit for r in results.records if r.state == State.COMPLETE and not r.baseline)
    assert all(p.params <= limit for p in summarise(results).front)


def test_pruned_trials_are_told_with_their_partial_value_and_a_constraint(tmp_path: Path) -> None:
    eager = {"rule": "envelope", "chance": 1.0}
    results, _ = search(tmp_path, pruning=eager, search={"trials": 16, "sampler": "random"})
    pruned = [r for r in results.records if r.state == State.PRUNED]
    assert pruned
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    for record in pruned:
        trial = study.trials[record.number]
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert trial.values[0] == record.final.metric
        assert trial.constraints["pruned"] == 1.0
        assert record.steps < record.planned_steps
        assert record.baseline is None
    cost = summarise(results).cost
    assert cost.steps == cost.steps_without_pruning - sum(r.planned_steps - r.steps for r in pruned)
    best = {trial.number for trial in study.best_trials}
    assert not best & {r.number for r in pruned}
    assert any(r.state == State.DUPLICATE for r in results.records)
    assert len(list((tmp_path / "out" / UNFINISHED).iterdir())) == len(pruned)  # each may still go on


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = Workbench.measure, Counter[str]()

    def fragile(self: Workbench, pyramid: Pyramid, rate: float, seed: int, shelf: Shelf | None) -> Any:
        calls["all"] += 1
        if calls["all"] == 3:
            raise RuntimeError("out of memory\nand a long story")
        if calls["all"] == 4:
            broken = tuple(torch.full_like(value, float("nan")) for value in self.backbone.initial_head)
            self = replace(self, backbone=replace(self.backbone, initial_head=broken))
        return measure(self, pyramid, rate, seed, shelf)

    monkeypatch.setattr(Workbench, "measure", fragile)
    results, events = search(tmp_path, search={"trials": 6, "sampler": "random"})
    failed = [r for r in results.records if r.state == State.FAILED]
    assert [r.reason.split(":")[0] for r in failed] == ["RuntimeError", "DivergedError"]
    assert "\n" not in failed[0].reason
    assert sum(record.counts for record in ended(events)) == 8
    trained = [r for r in results.records if r.state == State.COMPLETE and r.number > failed[-1].number]
    assert all(torch.isfinite(torch.tensor(r.final.loss)) for r in trained)
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    states = {trial.number: trial.state for trial in study.trials}
    assert [states[r.number] for r in failed] == [optuna.trial.TrialState.FAIL] * 2


def test_the_same_seed_gives_the_same_search(tmp_path: Path) -> None:
    one, _ = search(tmp_path, name="one")
    settings = StudySettings.model_validate(study_fields(tmp_path, name="two"))
    other = load_results(run_study(settings, tmp_path / "other"))
    assert [r.configuration for r in one.records] == [r.configuration for r in other.records]
    assert [r.final.metric for r in one.records if r.curve] == [r.final.metric for r in other.records if r.curve]


def test_more_trials_are_more_work_and_nothing_is_run_again(tmp_path: Path) -> None:
    first, _ = search(tmp_path)
    results, events = search(tmp_path, search={"trials": 7})
    assert sum(record.counts for record in results.records) == 2 + 7
    assert sum(record.counts for record in ended(events)) == 3
    before = [(r.configuration, r.seconds) for r in first.records]
    assert [(r.configuration, r.seconds) for r in results.records[: len(before)]] == before


def test_the_same_call_on_a_finished_study_trains_nothing(tmp_path: Path) -> None:
    search(tmp_path)
    _, events = search(tmp_path)
    assert ended(events) == []


def test_changed_settings_are_refused_with_the_difference_and_nothing_changes(tmp_path: Path) -> None:
    search(tmp_path)
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"other settings: proxy.batch_size was 16, is 8; proxy.epochs was 4"):
        search(tmp_path, proxy={"batch_size": 8, "epochs": 2})
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


def test_changed_data_are_refused(tmp_path: Path) -> None:
    search(tmp_path)
    path = tmp_path / "data.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[1:], lines[0]]) + "\n")
    with pytest.raises(InputError, match=r"begun with other data: the rows of task\.dataset"):
        search(tmp_path, search={"trials": 6})


def test_data_that_an_older_version_read_by_other_rules_are_refused_as_such(tmp_path: Path) -> None:
    search(tmp_path)
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    facts = {name: fact for name, fact in study.user_attrs["facts"].items() if name != "reading"}
    study.set_user_attr("facts", {**facts, "data": "as the older version knew them"})
    with pytest.raises(InputError, match="begun by a version that reads data by other rules; choose another"):
        search(tmp_path, search={"trials": 6})


def test_two_runs_do_not_share_an_output_folder(tmp_path: Path) -> None:
    def intrude(event: Event) -> None:
        if isinstance(event, SearchStarted):
            with pytest.raises(InputError, match="another run is at work there"):
                run_study(settings, tmp_path / "out")

    settings = StudySettings.model_validate(study_fields(tmp_path, search={"trials": 0, "baselines": []}))
    run_study(settings, tmp_path / "out", None, intrude)


def test_a_storage_url_holds_the_study_and_survives_its_output_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    results, _ = search(tmp_path, url)
    assert not (tmp_path / "out" / "study.db").exists()
    assert len(load_results(tmp_path / "empty", url).records) == len(results.records)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@localhost:1/none",
        "nonsense",
        "sqlite:////nowhere/at/all.db",
        "mysql://localhost/x",
    ],
)
def test_a_storage_that_does_not_answer_is_refused_and_nothing_is_written(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=r"--storage .*does not answer") as caught:
        search(tmp_path, url)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"--output .*name a folder that can be written"):
        search(tmp_path)


def test_memory_does_not_grow_from_trial_to_trial(tmp_path: Path) -> None:
    resident: list[int] = []

    def weigh(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.record.state == State.COMPLETE:
            resident.append(psutil.Process().memory_info().rss)

    space = {"global_rank": list(range(1, 60)), "mid_rank": [0], "layer_rank": [0]}
    settings = StudySettings.model_validate(
        study_fields(tmp_path, space=space, search={"trials": 40, "sampler": "random"}, pruning={"rule": "none"})
    )
    run_study(settings, tmp_path / "out", None, weigh)
    assert len(resident) > 20
    assert resident[-1] - resident[len(resident) // 2] < 15 * 2**20


RUN = """
import sys, yaml
from pathlib import Path
from msplora_search import run_study
from msplora_search.settings import load_study
from msplora_search.search.events import TrialEnded, TrialMeasured, TrialStarted
def say(event):
    print(type(event).__name__, getattr(getattr(event, "record", None), "number", ""), flush=True)
run_study(load_study(sys.argv[1]), Path(sys.argv[2]), None, say)
"""


def start(study: Path, output: Path) -> program.Begun:
    return program.begin(study, output, cwd=output.parent, code=RUN)


def kill_at(moment: str, study: Path, output: Path) -> None:
    """Run a search and kill it when it says so, such as `TrialStarted 3`."""
    process = start(study, output)
    for line in process.stdout:
        if line.strip() == moment:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()


def run_to_the_end(study: Path, output: Path) -> StudyResults:
    process = start(study, output)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return load_results(output)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["TrialStarted 0", "TrialMeasured 1", "TrialEnded 2", "TrialStarted 3"])
def test_killed_at_any_moment_the_same_command_goes_on(tmp_path: Path, moment: str) -> None:
    study, output = write_study(tmp_path, search={"sampler": "random"}), tmp_path / "out"
    kill_at(moment, study, output)
    before = load_results(output)
    finished = {r.number: r for r in before.records if r.state in (State.COMPLETE, State.PRUNED)}
    results = run_to_the_end(study, output)
    for number, record in finished.items():
        kept = next(r for r in results.records if r.number == number)
        assert (kept.configuration, kept.seconds, kept.state) == (
            record.configuration,
            record.seconds,
            record.state,
        )
    trained = configurations(results)
    assert len(trained) == len(set(trained))
    assert Counter(r.baseline for r in results.records if r.baseline) == {"paper": 1, "lora-1": 1}
    assert sum(r.counts and not r.baseline for r in results.records) == 4
    assert not any(r.state in (State.RUNNING, State.FAILED) for r in results.records)


@pytest.mark.slow
def test_a_killed_search_finds_what_an_undisturbed_one_finds(tmp_path: Path) -> None:
    """Only the trial in training is lost: it is trained anew with the same result."""
    study = write_study(tmp_path, search={"sampler": "brute-force"}, space=FINITE)
    process = start(study, tmp_path / "killed")
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "TrialMeasured 2":
            break
    process.kill()
    process.communicate()
    for output in ("killed", "calm"):
        start(study, tmp_path / output).communicate(timeout=300)
    found = [load_results(tmp_path / name) for name in ("killed", "calm")]
    one, other = ({r.configuration: r.final.metric for r in f.records if r.curve} for f in found)
    assert one == other


def test_the_facts_of_a_study_are_plain_json(tmp_path: Path) -> None:
    results, _ = search(tmp_path, search={"trials": 0})
    assert json.loads(json.dumps(results.facts)) == results.facts
    assert results.validation.truth.shape == (144,)
