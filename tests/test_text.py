from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.errors import InputError, placed
from msplora_search.text import printable, shown


@given(st.text())
def test_nothing_acts_on_a_terminal(text: str) -> None:
    found = printable(text)
    assert "\x1b" not in found
    assert len(found.splitlines()) <= 1
    assert printable(found) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\ud800", "\\ud800"),
        ("naïve 😀 naïve", "naïve 😀 naïve"),
    ],
)
def test_control_characters_are_written_out(text: str, found: str) -> None:
    assert printable(text) == found


def test_a_long_value_is_cut_in_the_middle() -> None:
    assert shown("short") == "'short'"
    assert len(shown("x" * 10_000_000)) == 79
    assert shown([1] * 1_000, 40).startswith("[1, 1, 1")


def test_an_error_on_a_field_is_given_its_place_once() -> None:
    def wrong() -> None:
        with placed(lambda field: f"study.yaml:7 ({field})"):
            raise InputError("no such column", field="task.label")

    with (
        pytest.raises(InputError, match=r"^study\.yaml:7 \(task\.label\): no such column$") as caught,
        placed(lambda field: "again"),
    ):
        wrong()
    assert caught.value.field is None
    sent = pickle.loads(pickle.dumps(InputError("a", field="b")))
    assert (str(sent), sent.field) == ("a", "b")
