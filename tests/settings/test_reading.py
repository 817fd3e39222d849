"""What is read from YAML is what stands there, and every number among the settings has bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from msplora_search.errors import InputError, suggest
from msplora_search.settings import StudySettings, load_study
from msplora_search.settings.document import dump
from msplora_search.settings.load import stored_settings
from msplora_search.settings.recipe import Recipe
from msplora_search.settings.task import Model
from msplora_search.settings.yaml_reader import MOST_DEPTH, MOST_VALUES, YamlError, parse

MINIMAL = {"name": "mine", "model": "org/model", "task": {"dataset": "org/data"}}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
WORDS = st.from_regex(r"[-+.0-9eE_:xobytrufalsnT~<=&*!%@|>#]{1,8}", fullmatch=True)

PLAIN = (
    TEXT | WORDS | st.booleans() | st.none() | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
TREES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | WORDS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4), ("-4", -4), ("+4", 4), ("0", 0), ("4.5", 4.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 1e-3),
        ("1E3", 1e3), ("-1.5e+2", -150.0), ("0.1", 0.1),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("word", "word"), ("2020-01-01", "2020-01-01"), ("0o17", "0o17"), ("1.2.3", "1.2.3"), ("1e", "1e"),
        ("=", "="), ("none", "none"), ("inf", "inf"), ("y", "y"), ("N", "N"), ("a: b", {"a": "b"}),
        ("'010'", "010"), ('"yes"', "yes"), ("'1e-3'", "1e-3"), ("'null'", "null"), ("|\n 12", "12"),
        ("[1, a, true]", [1, "a", True]), ("{a: [], b: {}}", {"a": [], "b": {}}),
    ],
)  # fmt: skip
def test_a_bare_word_is_what_stands_there(text: str, value: object) -> None:
    found = parse(text).data
    assert (found, type(found)) == (value, type(value))


@given(TREES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert parse(dump({"a": value})).data == {"a": value}


def test_a_list_that_stands_twice_is_written_out_twice() -> None:
    same = [1, 2]
    assert parse(dump({"a": same, "b": same})).data == {"a": [1, 2], "b": [1, 2]}


@given(st.text(max_size=60) | st.text("-?:,[]{}#&*!|>'\"%@` \n\t\\ua0.", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        said = ""
        parse(text)
    except YamlError as error:
        said = str(error)
    assert not said or said.isprintable()


def test_depth_and_number_of_values_have_bounds_that_no_file_here_comes_near() -> None:
    parse("[" * MOST_DEPTH + "]" * MOST_DEPTH)
    with pytest.raises(YamlError, match="more than 20 deep"):
        parse("[" * (MOST_DEPTH + 2) + "]" * (MOST_DEPTH + 2))
    parse(f"[{'1,' * (MOST_VALUES - 2)}]")
    with pytest.raises(YamlError, match="more than 20,000 values"):
        parse(f"[{'1,' * MOST_VALUES}]")


def test_the_line_of_every_value_is_kept() -> None:
    lines = parse("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n").lines
    assert lines == {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5}


def test_origins_name_items_of_lists_overrides_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("targets:\n  - [query]\n  - [value,\n     key]\nglobal_rank: [1,\n  2]\n")
    study = tmp_path / "study.yaml"
    study.write_text("name: mine\nmodel: m\ntask:\n  dataset: d\n  text:\n    - a\n    - b\nspace: own.yaml\n")
    settings = load_study(str(study), ["space.mid_rank=[0, 1]"])
    own, override = tmp_path / "own.yaml", "--set space.mid_rank=[0, 1]"
    expected = {
        "space.targets.0": f"{own}:2", "space.targets.1": f"{own}:3", "space.targets.1.1": f"{own}:4",
        "space.global_rank.1": f"{own}:6", "space.global_rank.9": f"{own}:5", "space.mid_rank.1": override,
        "task.text.1": f"{study}:7", "task.label": f"{study}:3", "proxy.epochs": str(study),
    }  # fmt: skip
    assert {field: settings.origin(field) for field in expected} == expected


# Numbers


def numbers(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number in a JSON schema, with its place."""
    if schema.get("type") in ("integer", "number"):
        yield place, schema
    for key, value in schema.items():
        for i, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, dict):
                yield from numbers(part, f"{place}/{key}{i}")


MEASURED = {"metric0", "metric_se0"}
"""Fields of a recipe that repeat what a search found, under the names that `numbers` gives them."""


@pytest.mark.parametrize("model", [StudySettings, Recipe])
def test_every_number_has_bounds(model: type[Model]) -> None:
    found = [pair for pair in numbers(model.model_json_schema()) if not MEASURED & set(pair[0].split("/"))]
    assert len(found) > 8
    loose = [place for place, schema in found if not {"maximum", "exclusiveMaximum"} & schema.keys()]
    loose += [place for place, schema in found if not {"minimum", "exclusiveMinimum"} & schema.keys()]
    assert not loose


def leaves(data: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every plain value of a tree, with its place."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*place, key))
    else:
        yield place, data


WHOLE: dict[str, Any] = json.loads(StudySettings.model_validate(MINIMAL).model_dump_json())
WHOLE["search"]["max_params"] = WHOLE["training"]["early_stopping"] = 5
WHOLE["space"]["learning_rate"] = {"low": 1e-3, "high": 1e-2, "log": True}
LEAVES = [(place, value) for place, value in leaves(WHOLE) if isinstance(value, int | float | str)]


@pytest.mark.parametrize(("place", "value"), LEAVES, ids=[".".join(map(str, place)) for place, _ in LEAVES])
def test_nothing_is_coerced(place: tuple[str | int, ...], value: Any) -> None:
    others: list[Any] = ["4", "1e-3", float("inf"), float("nan"), [], {}, b"4"]
    match value:
        case bool():
            others += ["yes", "true", 1, 0, 1.0]
        case int() | float():
            others += [True, False]
        case str():
            others = [True, 1, 0.5, ["x"]]
    for other in others:
        changed = json.loads(json.dumps(WHOLE))
        inside = changed
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = other
        with pytest.raises(ValidationError):
            StudySettings.model_validate(changed)


def test_a_whole_number_may_have_an_exponent() -> None:
    settings = StudySettings.model_validate(
        {**MINIMAL, "proxy": {"train_examples": 1e4}, "search": {"trials": 4.0}}
    )
    assert (settings.proxy.train_examples, settings.search.trials) == (10_000, 4)


# Stored settings


def test_stored_settings_of_an_older_version_have_the_defaults_of_later_fields() -> None:
    stored = json.loads(StudySettings.model_validate(MINIMAL).model_dump_json())
    del stored["pruning"], stored["proxy"]["dropout"], stored["task"]["metric"]
    settings = stored_settings(stored)
    assert settings == StudySettings.model_validate(MINIMAL)
    assert settings.origin("task.label") is None


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({**MINIMAL, "later": 1}, "later is no known field"),
        ({**MINIMAL, "search": {"later": 1}}, "search.later is no known field"),
        ({**MINIMAL, "search": {"trials": "x"}}, "search.trials is 'x'"),
        ({}, "name is missing"),
        (None, "the whole is null"),
        ([1], "the whole is [1]"),
        ("x", "the whole is 'x'"),
    ],
)
def test_stored_settings_that_do_not_fit_are_refused_in_one_line(stored: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        stored_settings(stored)
    assert said in str(caught.value)
    assert "stored with the study cannot be used" in str(caught.value)
    assert str(caught.value).isprintable()


# Suggestions


def test_suggestions_never_repeat_the_word_and_list_few_names() -> None:
    assert suggest("paper", ["paper", "lora"]) == "there are: lora"
    assert suggest("papre", ["paper", "lora"]) == "did you mean 'paper'?"
    many = suggest("x", [f"column {i:04}" for i in range(1_000)])
    assert many.startswith("there are: column 0000, column 0001, ")
    assert many.endswith(", column 0019, ... (980 more)")
    assert suggest("zz", ["a\x1b[31m", "b" * 1_000]).isprintable()
    assert len(suggest("x" * 10**6, ["b" * 1_000])) < 120
