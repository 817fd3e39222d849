"""Patterns of foreign adapters: they mean what they mean to PEFT, and no pattern takes long."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msplora_search.adapters.patterns import Names
from msplora_search.errors import InputError

PIECES = st.sampled_from(
    ["a", "b", ".", r"\.", r"\d", r"\w", "[ab]", "[^a]", "(a|b)", "(?:ab)", "x", "1", "^", "$", r"\b", "[0-3]", ""]
)
REPEATS = st.sampled_from(["", "*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])
NAMES = st.text(st.sampled_from("abx.12\n"), max_size=7)


@st.composite
def keys(draw: st.DrawFn) -> str:
    """Patterns of few parts, some in a group that is repeated, some after a bar."""
    parts = ""
    for _ in range(draw(st.integers(1, 4))):
        piece = draw(PIECES)
        repeat = draw(REPEATS) if piece not in ("^", "$", r"\b", "") else ""
        parts += piece + repeat
        if draw(st.integers(0, 3)) == 0:
            parts = f"({parts}){draw(REPEATS)}"
        if draw(st.integers(0, 4)) == 0:
            parts += "|"
    return parts


@given(keys(), NAMES)
@settings(max_examples=400, deadline=None)
def test_a_pattern_matches_what_python_matches(key: str, name: str) -> None:
    found = Names([key], "file: field").first(name)
    assert (found is not None) == (re.match(rf"(.*\.)?({key})$", name) is not None)


def test_the_first_of_several_is_taken() -> None:
    names = Names(["layer.2.*", "query", r"layer\.\d+\.(query|value)"], "file: field")
    assert names.first("encoder.layer.2.query") == "layer.2.*"
    assert names.first("encoder.layer.1.query") == "query"
    assert names.first("encoder.layer.1.value") == r"layer\.\d+\.(query|value)"
    assert names.first("encoder.layer.1.key") is None


@pytest.mark.parametrize(
    "key", ["(a+)+", "(a|a)*", "(a|aa)+b", "(.*)*x", "(a?){30}a{30}", ".*.*.*.*.*.*x", "a?" * 40 + "a" * 40 + "b"]
)
def test_no_pattern_takes_long(key: str) -> None:
    began = time.monotonic()
    names = Names([key], "file: field")
    with suppress(InputError):  # over the budget
        for layer in range(64):
            assert names.first(f"encoder.layer.{layer}." + "a" * 200 + "!") is None
    assert time.monotonic() - began < 2


def test_what_is_over_the_budget_names_file_and_field() -> None:
    names = Names(["(a?){200}"], "file: field")
    with pytest.raises(InputError, match=r"file: field: '\(a\?\)\{200\}' is too involved"):
        names.first("a." * 10_000 + "!")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (r"(a)\1", "construct that is not taken here (groupref)"),
        ("(?=a)", "(assert)"),
        ("(", "is no regular expression"),
        ("(" * 999 + ")" * 999, "is no regular expression|is too long"),
        ("((a{1,99}){1,99}){1,99}", "is too long"),
        ("(?i:a)", "construct that is not taken"),
        ("a" * 3000, "is too long"),
    ],
)
def test_what_is_not_taken_names_file_and_field(key: str, said: str) -> None:
    with pytest.raises(InputError, match="file: field: ") as caught:
        Names([key], "file: field")
    assert any(part in str(caught.value) for part in said.split("|"))
