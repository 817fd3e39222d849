from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from msplora_search.design.depth import DepthGroup, split_by_fractions
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.errors import InputError
from msplora_search.settings import SpaceSettings, StudySettings, check_file, load_space, load_study, shipped
from msplora_search.settings.document import dump
from msplora_search.settings.load import stored_settings
from msplora_search.settings.models import SearchSettings
from msplora_search.settings.space import DEFAULT_SCALING
from msplora_search.settings.task import TaskSettings
from msplora_search.settings.values import seconds_of
from msplora_search.settings.yaml_reader import parse
from tests.strategies import space_fields, study_fields

STUDY = """\
name: mine
model: org/model
task:
  kind: text-classification
  dataset: org/data
space: tiny
search: {trials: 4}
proxy:
  epochs: 1
  learning_rate: 1e-3
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def refusal(path: Path, text: str, *overrides: str) -> str:
    """The error for a study of this text, without its folder."""
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_study(str(path), overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


@given(study_fields())
def test_study_settings_round_trip_through_yaml(fields: dict[str, Any]) -> None:
    settings = StudySettings.model_validate(fields)
    text = dump(settings.model_dump(mode="json", exclude_none=True))
    assert StudySettings.model_validate(parse(text).data) == settings


@given(space_fields())
def test_space_settings_round_trip_through_yaml(fields: dict[str, Any]) -> None:
    settings = SpaceSettings.model_validate(fields)
    text = dump(settings.model_dump(mode="json", exclude_none=True))
    assert SpaceSettings.model_validate(parse(text).data) == settings


@pytest.mark.parametrize("path", [*shipped("studies").values(), *shipped("spaces").values()], ids=lambda p: p.stem)
def test_every_shipped_file_is_valid_and_says_what_it_is_for(path: Path) -> None:
    assert isinstance(check_file(str(path)), StudySettings if path.parent.name == "studies" else SpaceSettings)
    assert path.read_text().startswith("# ")


def test_shipped_files_are_found_by_name() -> None:
    assert load_study("quickstart").name == "quickstart"
    assert load_space("pyramid").global_rank == (0, 2, 4, 8, 16)
    assert {"tiny", "pyramid"} <= shipped("spaces").keys()


def test_numbers_that_yaml_reads_as_text_are_numbers(study: Path) -> None:
    assert load_study(str(study)).proxy.learning_rate == 1e-3
    assert load_study(str(study), ["proxy.learning_rate=2e-3"]).proxy.learning_rate == 2e-3
    assert load_study(str(study), ["space.learning_rate=[1e-3, 2E-3]"]).space.learning_rate == (1e-3, 2e-3)


def test_overrides_change_make_and_reach_into_a_named_space(study: Path) -> None:
    settings = load_study(str(study), ["search.trials=7", "pruning.rule=none", "space.groups.count=[1]"])
    assert settings.search.trials == 7
    assert settings.pruning.rule == "none"
    assert settings.space.groups.count == (1,)
    assert settings.space.mid_rank == load_space("tiny").mid_rank


def test_an_override_may_name_another_space(study: Path) -> None:
    assert load_study(str(study), ["space=pyramid"]).space == load_space("pyramid")


def test_a_space_and_data_are_looked_up_beside_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "own.yaml").write_text("global_rank: [3]\n")
    (folder / "data.csv").write_text("text,label\n")
    (folder / "study.yaml").write_text(
        STUDY.replace("space: tiny", "space: own.yaml").replace("org/data", "data.csv")
    )
    monkeypatch.chdir(elsewhere)
    settings = load_study(str(folder / "study.yaml"))
    assert settings.space.global_rank == (3,)
    assert settings.task.dataset.path == str((folder / "data.csv").resolve())
    assert settings.model == "org/model"


def test_earlier_studies_are_looked_up_beside_the_study_then_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    for made in (folder / "both", elsewhere / "both", elsewhere / "there"):
        made.mkdir(parents=True)
    path = folder / "study.yaml"
    path.write_text(STUDY.replace("trials: 4", "warm_start: [both, there, neither, ../elsewhere/there, /nowhere]"))
    monkeypatch.chdir(elsewhere)
    found = [folder / "both", elsewhere / "there", folder / "neither", elsewhere / "there", Path("/nowhere")]
    assert load_study(str(path)).search.warm_start == tuple(map(str, found))
    assert load_study(str(path), ["search.warm_start=[there]"]).search.warm_start == (str(elsewhere / "there"),)
    assert load_study(str(path), ["search.warm_start=[]"]).search.warm_start == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("trials: 4", "trails: 4", "study.yaml:7: search.trails is no known field; did you mean 'trials'?"),
        ("trials: 4", "trials: many", "study.yaml:7: search.trials is 'many'; it should be a whole number"),
        ("trials: 4", "trials: -1", "study.yaml:7: search.trials is -1"),
        ("trials: 4", "trials: 2.5", "study.yaml:7: search.trials is 2.5"),
        ("trials: 4", "sampler: cma", "study.yaml:7: search.sampler is 'cma'; it should be 'front', 'tpe'"),
        (
            "trials: 4",
            "baselines: [papre]",
            "study.yaml:7: search.baselines.0 is 'papre'; it should be",
        ),
        ("space: tiny", "space: tini", "study.yaml:6: space 'tini': no such file, and none of that name"),
        ("space: tiny", "space: {mid_rank: [-1]}", "study.yaml:6: space.mid_rank.0 is -1"),
        ("space: tiny", "space: {mid_rank: []}", "study.yaml:6: space.mid_rank is []"),
        ("space: tiny", "space: {groups: {count: [0]}}", "study.yaml:6: space.groups.count.0 is 0"),
        ("space: tiny", "space: {shape: flat}", "study.yaml:6: space.shape is 'flat'"),
        ("space: tiny", "space: {learning_rate: {low: 1e-2, high: 1e-3}}", "low 0.01 must be below high 0.001"),
        ("epochs: 1", "rungs: [0.5, 0.3, 1.0]", "study.yaml:9: proxy.rungs: rungs must rise and end with 1.0"),
        ("epochs: 1", "epochs: [1]", "study.yaml:9: proxy.epochs is [1]"),
        ("name: mine", "name: a b", "study.yaml:1: name is 'a b'"),
        ("name: mine", "nmae: mine", "study.yaml:1: nmae is no known field; did you mean 'name'?"),
        ("name: mine\n", "", "study.yaml: name is missing"),
        ("  dataset: org/data\n", "", "study.yaml:3: task.dataset is missing"),
        ("kind: text-classification", "kind: poetry", "study.yaml:4: task.kind is 'poetry'"),
        ("search: {trials: 4}", "search: 4", "study.yaml:7: search is 4; it should be a"),
        ("search: {trials: 4}", "search: {trials: 4", "no valid YAML"),
        ("epochs: 1", "learning_rate: 1", "study.yaml:10: no valid YAML: the key 'learning_rate' stands twice"),
        (STUDY, "", "study.yaml: is empty; it must hold fields"),
        (STUDY, "- a\n", "study.yaml: holds ['a']"),
        ("name: mine", "name: !!python/object/apply:os.system ['true']", "study.yaml:1: tags such as"),
    ],
)
def test_a_wrong_study_is_refused_in_one_line(study: Path, old: str, new: str, said: str) -> None:
    assert old in STUDY
    assert said in refusal(study, STUDY.replace(old, new, 1))


def test_settings_know_where_their_values_stand(study: Path) -> None:
    (study.parent / "own.yaml").write_text("# ranks\nglobal_rank: [1]\n")
    study.write_text(STUDY.replace("space: tiny", "space: own.yaml"))
    settings = load_study(str(study), ["search.trials=7"])
    found = {
        f: settings.origin(f) for f in ("task.kind", "task.label", "search.trials", "space.global_rank", "proxy")
    }
    assert found == {
        "task.kind": f"{study}:4", "task.label": f"{study}:3", "search.trials": "--set search.trials=7",
        "space.global_rank": f"{study.parent / 'own.yaml'}:2", "proxy": f"{study}:8",
    }  # fmt: skip
    plain = StudySettings.model_validate(settings.model_dump())
    assert plain.origin("task.kind") is None
    assert plain == settings
    assert pickle.loads(pickle.dumps(settings)).origin("task.kind") == f"{study}:4"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.trials", "--set search.trials: must have the form field=value"),
        ("search..trials=4", "must have the form"),
        ("search.trials=[", "the value cannot be read: no valid YAML"),
        ("search.trails=4", "--set search.trails=4: search.trails is no known field; did you mean 'trials'?"),
        ("search.trials=x", "--set search.trials=x: search.trials is 'x'"),
        ("space=tini", "--set space=tini: space 'tini': no such file"),
    ],
)
def test_a_wrong_override_is_refused_by_name(study: Path, override: str, said: str) -> None:
    assert said in refusal(study, STUDY, override)


def test_a_space_file_that_is_wrong_is_named_itself(study: Path) -> None:
    (study.parent / "own.yaml").write_text("mid_rank: [1]\nglobal_rnak: [1]\n")
    said = refusal(study, STUDY.replace("space: tiny", "space: own.yaml"))
    assert said.startswith("own.yaml:2: space.global_rnak is no known field; did you mean 'global_rank'?")


def test_a_study_that_is_not_there_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match=r"study 'quikstart': no such file.* did you mean 'quickstart'"):
        load_study("quikstart")


def test_brute_force_needs_a_finite_space(study: Path) -> None:
    said = refusal(study, STUDY, "search.sampler=brute-force", "space.learning_rate={low: 1e-4, high: 1e-2}")
    assert "brute-force needs a finite space" in said


def space(**fields: Any) -> SearchSpace:
    return SpaceSettings.model_validate(fields).for_depth(6, 2e-3)


def test_boundaries_become_splits_of_the_depth() -> None:
    assert space(groups={"count": [3, 1, 3]}).splits == FreeSplits((1, 3), 1)
    assert space(groups={"count": [2, 9], "boundaries": "uniform"}).splits == ((0, 3, 6),)
    listed = [[33, 33, 34], [1, 1, 1], [50, 25, 25]]
    assert space(groups={"boundaries": listed}).splits == ((0, 2, 4, 6), (0, 3, 5, 6))


def test_rates_come_from_the_space_or_else_from_the_proxy() -> None:
    assert space().learning_rate == (2e-3,)
    assert space(learning_rate=1e-3).learning_rate == (1e-3,)
    assert space(learning_rate=[4e-3, 1e-3]).learning_rate == (1e-3, 4e-3)
    assert space(learning_rate={"low": 1e-4, "high": 1e-2}).learning_rate == LogRange(1e-4, 1e-2, True)


def test_a_space_has_the_scaling_that_it_names() -> None:
    assert space().scaling is DEFAULT_SCALING
    assert space(scaling="rank-stabilised").scaling is Scaling.RANK_STABILISED
    assert space(scaling="standard").scaling is Scaling.STANDARD


def test_a_space_stored_before_it_had_a_scaling_has_the_standard_one() -> None:
    settings = load_study("quickstart", ["space.scaling=rank-stabilised"])
    stored = settings.model_dump(mode="json")
    assert stored_settings(stored) == settings
    del stored["space"]["scaling"]
    assert stored_settings(stored).space.scaling is Scaling.STANDARD


def test_how_version_0_1_stopped_trials_is_dropped_from_what_it_stored() -> None:
    settings = load_study("quickstart")
    stored = settings.model_dump(mode="json")
    stored["pruning"] = {"rule": "none", "min_peers": 4, "margin_se": 1.0, "keep_share": 0.25}
    assert stored_settings(stored).pruning.rule == "none"


@pytest.mark.parametrize(("budget", "trials"), [
    ({}, 24), ({"time": "30min"}, None), ({"steps": 1_000}, None), ({"until": "converged"}, None),
    ({"time": "1h30min", "trials": 7}, 7), ({"time": None}, 24),
])  # fmt: skip
def test_another_budget_stands_without_a_number_of_trials(budget: dict[str, Any], trials: int | None) -> None:
    search = SearchSettings.model_validate(budget)
    assert search.trials == trials
    assert SearchSettings.model_validate(search.model_dump()) == search
    assert SearchSettings.model_validate(search.model_dump(exclude_none=True)) == search


@pytest.mark.parametrize(("duration", "seconds"), [
    ("90s", 90), ("30min", 1_800), ("1h30min", 5_400), ("2d", 172_800), ("1h 5s", 3_605),
    ("", 0), ("5", 0), ("30 minutes", 0), ("-5min", 0), ("1.5h", 0), ("30min1h", 0),
])  # fmt: skip
def test_durations_are_whole_numbers_with_units(duration: str, seconds: int) -> None:
    assert seconds_of(duration) == seconds


def test_ranks_of_each_group_where_asked() -> None:
    uneven = Pyramid(0, [DepthGroup(0, 2, 1, 0), DepthGroup(2, 6, 4, 0)], ["query", "value"])
    assert not space(scaling="standard").contains(uneven)
    assert space(scaling="standard", per_group={"mid_rank": True}).contains(uneven)


def test_a_depth_that_no_group_count_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="no depth groups fit"):
        space(groups={"count": [7]})
    with pytest.raises(ValueError, match="7 depth groups do not fit 6 layers"):
        space(groups={"boundaries": [[1] * 7]})


# Kinds of tasks


@pytest.mark.parametrize(
    ("kind", "metric", "columns"),
    [
        ("text-classification", "accuracy", {"text": ("text",), "label": "label"}),
        ("text-regression", "pearson", {"text": ("text",), "label": "label"}),
        ("causal-lm", "loss", {"prompt": ("prompt",), "response": "response"}),
        ("preference", "reward-accuracy", {"prompt": ("prompt",), "chosen": "chosen", "rejected": "rejected"}),
        ("seq2seq-lm", "loss", {"prompt": ("prompt",), "response": "response"}),
        ("image-classification", "accuracy", {"image": "image", "label": "label"}),
        ("token-classification", "f1", {"words": "tokens", "label": "tags"}),
        ("multi-label", "micro-f1", {"text": ("text",), "label": "labels"}),
        ("multiple-choice", "accuracy", {"text": ("question",), "choices": ("choices",), "label": "label"}),
        ("extractive-qa", "f1", {"question": "question", "context": "context", "answers": "answers"}),
        ("embedding", "recall@1", {"text": ("anchor", "positive"), "pooling": "auto"}),
    ],
)
def test_each_kind_has_its_metric_and_columns(kind: str, metric: str, columns: dict[str, Any]) -> None:
    task = TaskSettings.model_validate({"kind": kind, "dataset": "x"})
    assert task.metric == metric
    reading = ("choices", "question", "context", "answers", "stride", "words", "labels", "pooling")
    every = (
        "text",
        "label",
        "prompt",
        "response",
        "chosen",
        "rejected",
        "messages",
        "template",
        "image",
        *reading,
    )
    assert {name: value for name in every if (value := getattr(task, name)) is not None} == columns
    assert TaskSettings.model_validate(task.model_dump(mode="json")) == task


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("task.prompt=[a]", "prompt is not read by text-classification, which reads text, label"),
        ("task.metric=pearson", "metric is pearson, which text-classification does not have; it has accuracy, f1"),
        ("task.kind=[causal-lm]", "task.kind is"),
        ("task.kind=images", "task.kind is 'images'"),
        ("task.text=[a, b, c]", "task.text"),
        ("backbone.quantization=3bit", "backbone.quantization is '3bit'"),
    ],
)
def test_a_field_that_the_kind_does_not_read_is_refused(study: Path, override: str, said: str) -> None:
    assert said in refusal(study, STUDY, override)


# Listed ranks


def test_listed_ranks_and_no_others_are_in_the_space() -> None:
    thirds_alone = {"count": [3], "boundaries": "uniform"}
    found = space(ranks=[[8, 4, 2], [4, 4, 4]], groups=thirds_alone, scaling="standard")
    thirds = (0, 2, 4, 6)
    inside = {Pyramid.from_split(ranks, thirds, ("query", "value")) for ranks in ((8, 4, 2), (4, 4, 4))}
    assert found.pyramids == 2
    for ranks in product((4, 8), (4,), (2, 4)):
        pyramid = Pyramid.from_split(ranks, thirds, ("query", "value"))
        assert found.contains(pyramid) == (pyramid in inside)


def test_the_shipped_spaces_hold_what_they_are_for() -> None:
    sensitivity = load_space("rank_sensitivity").for_depth(12, 1e-3)
    assert sensitivity.pyramids == 4
    boundaries = load_space("boundaries").for_depth(12, 1e-3)
    assert boundaries.pyramids == 55
    for parts in ((33, 33, 33), (40, 40, 20), (20, 40, 40)):
        assert boundaries.contains(
            Pyramid.from_split((8, 4, 2), split_by_fractions(parts, 12), ("query", "value"))
        )
    paper = load_space("paper").for_depth(32, 1e-3)
    assert paper.contains(Pyramid.geometric(64, 32))
    assert paper.pyramids == 5


def test_groups_must_fit_the_shallower_stack() -> None:
    four = SpaceSettings.model_validate({"groups": {"count": [4]}})
    with pytest.raises(ValueError, match="fits the 3-layer stack"):
        four.for_depth(12, 1e-3, most_groups=3)
    assert SpaceSettings().for_depth(12, 1e-3, most_groups=3).max_groups == 3


def test_ranks_and_lists_of_ranks_exclude_each_other(study: Path) -> None:
    said = refusal(study, STUDY, "space={ranks: [[8, 4, 2]], mid_rank: [1]}")
    assert "mid_rank and ranks exclude each other" in said
    said = refusal(study, STUDY, "space={ranks: [[8, 4]]}")
    assert "space.ranks.0" in said
