"""Every field of a study is told in words, from the place where it is defined."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from msplora_search.cli import app
from msplora_search.errors import InputError
from msplora_search.settings.background import BACKGROUND
from msplora_search.settings.explaining import REQUIRED, Explanation, explained


def every(name: str = "") -> Iterator[Explanation]:
    """All fields and sections, the study itself first."""
    found = explained(name)
    yield found
    for field in found.fields:
        yield from every(field)


def test_every_field_says_what_it_is_and_what_may_be_written() -> None:
    fields = list(every())
    assert len(fields) > 70
    assert not [field.name for field in fields if not field.text or not field.takes]


def test_what_stands_behind_a_field_is_printed_with_it_and_named_in_its_section() -> None:
    named = {field.name for field in every()}
    assert set(BACKGROUND) <= named
    told = CliRunner().invoke(app, ["explain", "pruning"]).output
    assert "So does one whose process died" in " ".join(told.split())
    section = CliRunner().invoke(app, ["explain", "search"]).output
    assert "msplora-search explain search.sampler" in section
    assert "Gaussian process" not in section


@pytest.mark.parametrize(
    ("name", "takes", "unless"),
    [
        (
            "search.sampler",
            "front, tpe, nsga2, gp, random or brute-force",
            "front by default",
        ),
        ("search.steps", "a whole number from 1", "none by default"),
        ("search.trials", "a whole number from 0 to 1,000,000", "24 by default"),
        ("search.time", "a time such as 30min or 1h30min", "none by default"),
        ("proxy.learning_rate", "a number above 0 and below 1", "0.002 by default"),
        ("proxy.rungs", "a list of at most 64, each a number above 0 to 1", "[0.33, 0.67, 1.0] by default"),
        ("scale.cpus", "a number above 0 to 1,024", "1 by default"),
        ("space.learning_rate", "a list of at most 64, each a number above 0 and below 1 or {low, high, log}",
         "none by default"),
        ("space.ranks", "a list of at most 1,024, each a list of 3, each a whole number from 0 to 65,536",
         "none by default"),
        ("space.per_group.mid_rank", "true or false", "false by default"),
        ("training.trainer", "a mapping", "none by default"),
        ("training.optimization", "joint, staged or alternating", "joint by default"),
        ("training.interference", "a whole number from 0 to 10,000", "0 by default"),
        ("task.dataset.path", "text", "a study must have it"),
    ],
)  # fmt: skip
def test_what_may_be_written_and_what_it_is_by_default(name: str, takes: str, unless: str) -> None:
    found = explained(name)
    assert (found.takes, found.unless) == (takes, unless)


def test_what_a_study_must_have_is_told() -> None:
    assert [field.name for field in map(explained, explained().fields) if field.default is REQUIRED] == [
        "name", "model", "task",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("search.trails", "search.trails is no known field; did you mean 'trials'?"),
        ("serach", "serach is no known field; did you mean 'search'?"),
        ("search.trials.most", "search.trials.most is no known field; search.trials has no fields"),
    ],
)
def test_the_nearest_name_is_told_of_one_that_is_not_known(name: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        explained(name)
    assert str(refused.value) == said


def test_a_field_is_told_with_all_that_is_known_of_it_and_a_section_with_its_fields() -> None:
    run = CliRunner()
    found = explained("pruning.chance")
    takes = "  a number from 0 to 1; 0.4 by default"
    alone = run.invoke(app, ["explain", "pruning.chance"]).stdout.splitlines()
    assert " ".join(" ".join(alone).split()) == " ".join(f"pruning.chance {takes} {found.text}".split())
    assert alone[1] == takes
    section = run.invoke(app, ["explain", "pruning"]).stdout
    assert section.splitlines()[0] == f"pruning: {explained('pruning').text}"
    assert "\npruning.chance\n  a number from 0 to 1; 0.4 by default\n" in section
    whole = run.invoke(app, ["explain"]).stdout
    assert "\nscale\n  Who trains" in whole
