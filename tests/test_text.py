from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

from msplora_search.errors import InputError, placed
from msplora_search.text import (
    amount,
    amounts,
    brief,
    code,
    fitting,
    markdown,
    printable,
    several,
    shown,
    signed,
    times,
)

HOSTILE = (
    "![x](http://beacon.example/a.png)",
    "[x](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<http://beacon.example>",
    "http://beacon.example and www.beacon.example",
    "a|b|c",
    "a\\|b",
    "`code` and ``more``",
    "`",
    "```",
    "\\",
    "trailing \\",
    "*a* **b** _c_ ~~d~~",
    "# heading",
    "1. one",
    "12345) many",
    "- item",
    "+ item",
    "---",
    "===",
    "    indented",
    "> quoted",
    "&lt;b&gt; &#60;",
    "[ref]: http://beacon.example",
    "[^1]",
    "a\n\n# b\n\n<b>c</b>",
    "\x1b]8;;http://beacon.example\x07link\x1b]8;;\x07",
    "\x1b[31mred",
    "\u202edlrow",
    "$\\frac{1",
    "--> <!-- -->",
    "[red]rich[/red] :fire:",
    "=HYPERLINK(1)",
    "ends with !",
    "\udcff",
    "",
)
"""Names, reasons and values that would act where they are shown, if they could."""
AROUND = ("{}", "# {}", "- {}", "**x** {}", "| a | b |\n| --- | --- |\n| {} | c |", "[x](y) {}", "x: {}[y](z)")
COMMON = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
texts = st.text() | st.text(alphabet="\\`*_[]()<>|&~$!#:/.w1-+= a\n") | st.sampled_from(HOSTILE)


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
    assert shown(10**10_000) == "a number of thousands of digits"
    assert brief("abcdefghij", 7) == "ab...ij"


@given(texts)
@pytest.mark.parametrize("around", AROUND)
def test_markdown_shows_foreign_text_as_it_stands(around: str, text: str) -> None:
    """Even where tags are allowed: as a word in the same place, and nothing else."""
    said = escapeHtml(printable(text).strip())
    assume(said)
    page = COMMON.render(around.format("WORD")).replace("WORD", said)
    assert COMMON.render(around.format(markdown(text))) == page


@given(texts)
def test_a_span_of_code_shows_foreign_text_as_it_stands(text: str) -> None:
    said = escapeHtml(printable(text) or " ")
    assert COMMON.render(f"a {code(text)} b") == f"<p>a <code>{said}</code> b</p>\n"


@pytest.mark.parametrize("text", ["https://a.example/b", "HTTP://a.example", "www.a.example", "WWW.a.example"])
def test_an_address_is_no_link_where_markdown_finds_links_by_itself(text: str) -> None:
    assert markdown(text).lower() in (r"https\://a.example/b", r"http\://a.example", r"www\.a.example")


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("0.8 ± 0.1 · é", "utf-8", "0.8 ± 0.1 · é"),
        ("0.8 ± 0.1 · é", "ascii", "0.8 +- 0.1 \\xb7 \\xe9"),
        ("0.8 ± 0.1 · é", "cp1252", "0.8 ± 0.1 · é"),
        ("модель 😀", "cp1252", "\\u043c\\u043e\\u0434\\u0435\\u043b\\u044c \\U0001f600"),
        ("\ud800", "utf-8", "\\ud800"),
    ],
)
def test_an_output_gets_what_its_encoding_holds(text: str, encoding: str, found: str) -> None:
    assert fitting(text, encoding) == found


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


@pytest.mark.parametrize(
    ("value", "bounds", "much", "with_sign"),
    [
        (0.017, (0.0, 1.0), "1.7 points", "+1.7"),
        (-0.003, (-1.0, 1.0), "-0.3 points", "-0.3"),
        (-0.0001, (0.0, 1.0), "-0.0 points", "+0.0"),
        (-0.0314, (-float("inf"), 0.0), "-0.031", "-0.031"),
        (0.0001, (-float("inf"), 0.0), "0.000", "+0.000"),
    ],
)
def test_amounts_are_points_of_a_bounded_metric(
    value: float, bounds: tuple[float, float], much: str, with_sign: str
) -> None:
    assert (amount(value, bounds), signed(value, bounds)) == (much, with_sign)


def test_a_ratio_has_two_or_three_digits() -> None:
    assert [times(r) for r in (0.0123, 0.456, 1.0, 1.26, 12.34, 1234.5)] == [
        "0.012", "0.46", "1.0", "1.3", "12.3", "1,234",
    ]  # fmt: skip


def test_two_amounts_have_one_unit() -> None:
    assert amounts(0.002, 0.0171, (0.0, 1.0)) == "0.2 to 1.7 points"
    assert amounts(0.002, 0.0171, (0.0, math.inf)) == "0.002 to 0.017"


def test_one_of_a_thing_is_no_plural() -> None:
    assert [several(count, "repeat") for count in (0, 1, 1_000)] == ["0 repeats", "1 repeat", "1,000 repeats"]
