"""A search over several choices of targets trains plain LoRA on each."""

from __future__ import annotations

from pathlib import Path

import optuna

from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.wording import front_columns, point_row
from msplora_search.search.events import SearchStarted
from msplora_search.search.summary import summarise
from tests.search.test_study import FINITE, search


def test_every_choice_of_targets_has_a_ladder_that_the_sampler_learns_from(tmp_path: Path) -> None:
    space = {**FINITE, "targets": [["query", "value"], ["attention"]]}
    results, events = search(tmp_path, space=space, search={"trials": 1, "baselines": [{"lora": [1]}]})
    started, summary = events[0], summarise(results)
    assert isinstance(started, SearchStarted)
    assert started.baselines == 2
    assert "plain LoRA is trained on each of the 2 choices of targets" in started.notes[0]
    assert {word: [p.name for p in points] for word, points in summary.ladders.items()} == {
        "query+value": ["lora-1"], "attention": ["lora-1@attention"],
    }  # fmt: skip
    attention = summary.baselines["lora-1@attention"].record.pyramid
    assert attention is not None
    assert len(attention.targets) == 4
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    assert [trial.params.get("targets") for trial in study.trials[:2]] == [0, 1]
    assert all(trial.params["layer_rank"] == 1 for trial in study.trials[:2])


def test_the_papers_pyramid_keeps_its_targets_and_lora_is_trained_on_both(tmp_path: Path) -> None:
    space = {**FINITE, "targets": [["all-linear"], ["query", "value"]]}
    results, _ = search(tmp_path, space=space, search={"trials": 1, "baselines": ["paper", {"lora": [1]}]})
    targets = {r.baseline: r.pyramid.targets for r in results.records if r.baseline and r.pyramid}
    assert targets.keys() == {"paper", "lora-1", "lora-1@query+value"}
    assert targets["paper"] == targets["lora-1@query+value"] == ("query", "value")
    assert len(targets["lora-1"]) == 6
    summary = summarise(results)
    assert list(summary.ladders) == ["all-linear", "query+value"]
    assert [summary.word_for(targets["lora-1"][::-1]), summary.word_for(("query",))] == ["all-linear", "query"]
    place = front_columns(summary).index("targets")
    said = [point_row(summary, point)[place] for point in summary.baselines.values()]
    assert sorted(said) == ["all-linear", "query+value", "query+value"]
    assert [Shown.of(summary).word_for(of) for of in targets.values()] == said
