from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.reporting.console import PlainTable, fold, print_line
from msplora_search.reporting.lines import trial_line
from msplora_search.reporting.terminal import LiveDisplay, PlainLines, print_front
from msplora_search.reporting.wording import front_rows
from msplora_search.results.records import State
from msplora_search.search.events import (
    Event,
    Notice,
    SearchStarted,
    TrialEnded,
    TrialStarted,
    TrialTaken,
    Waiting,
    WorkerLost,
)
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary, summarise
from tests.example import record, results, split
from tests.search.test_proposal import SPACE
from tests.test_text import HOSTILE

PLAIN = summarise(results())
WIDE = Pyramid(64, [DepthGroup(4 * i, 4 * i + 4, 128 >> i % 2, 64 >> i % 3) for i in range(8)], ("query", "value"))
"""Ranks of many digits in eight groups."""


def screen(width: int, encoding: str = "utf-8", **how: Any) -> tuple[Console, io.BytesIO]:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding=encoding, write_through=True)
    return Console(width=width, file=file, force_terminal=True, color_system=None, **how), written


def large() -> Summary:
    """A front whose rows are as wide as they get."""
    odd = replace(
        record(1_234, split(1, 0, 0), 60, baseline="lora-64"),
        pyramid=WIDE, adapter_params=1_011_010_048, learning_rate=1.23457e-05,
    )  # fmt: skip
    best = PLAIN.front[-1]
    return replace(PLAIN, front=(*PLAIN.front, Point((odd,), 0.25, best.draws, best.told)))


@pytest.mark.parametrize("width", [200, 120, 100, 80, 79, 60, 40])
@pytest.mark.parametrize("summary", [PLAIN, large()], ids=["example", "large"])
def test_a_front_of_any_width_shows_every_number_whole(summary: Summary, width: int) -> None:
    console, written = screen(width)
    print_front(console, summary)
    lines = written.getvalue().decode().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in "".join(lines)
    words = set(" ".join(lines).split())
    for row in front_rows(summary):
        assert set(" ".join([row[0], *row[2:]]).split()) <= words
        assert row[1].replace(" ", "") in re.sub(r"\s", "", column_of_ranks(lines))


def column_of_ranks(lines: list[str]) -> str:
    """What stands in the second column, one row after the other; all of it where the table is a list."""
    heading = next((line for line in lines if line.startswith("trial ") and line.endswith(" lr")), "")
    start = re.search(r"(?<=trial )\s+", heading)
    if start is None:
        return "".join(lines)
    inner = [line[start.end() :] for line in lines if not line.startswith(("Front", "trial"))]
    return "".join(re.split(r"\s{2,}", line)[0] for line in inner)


def test_at_80_columns_the_front_is_a_table() -> None:
    console, written = screen(80)
    print_front(console, PLAIN)
    lines = written.getvalue().decode().splitlines()
    assert "4      2/(1,2)/(0,1) in 0:2 2:6      13,824    0.8500  0.0179      0.96  0.002" in lines


@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=40), st.integers(6, 50))
def test_folding_tears_no_number_apart(ranks: list[int], width: int) -> None:
    text = f"8/({','.join(map(str, ranks))})/2 in " + " ".join(f"{i}:{i + 1}" for i in ranks)
    lines = fold(text, width + 6).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert [n for line in lines for n in re.findall(r"\d+", line)] == re.findall(r"\d+", text)
    assert max(map(len, lines)) <= width + 6


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_shows_foreign_text_and_acts_on_none(text: str, terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=200, color_system="truecolor")
    failed = record(7, split(1, 0, 0), 0, state=State.FAILED, reason=text, curve=())
    print_line(console, trial_line(failed))
    written = file.getvalue()
    assert written.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", written)
    if text.isascii() and text.isprintable():
        assert written.rstrip("\n").endswith(f"failed: {text}")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Notice("out of memory: micro-batches of 16"), "out of memory: micro-batches of 16"),
        (Waiting("for trial 3 on host"), "waiting for trial 3 on host"),
        (WorkerLost("worker 1 ended by signal 9"), "signal 9; the trial that it trained will be trained anew"),
        (TrialTaken(record(7, split(1, 0, 0), 0)), "trial 7 was given to another worker"),
    ],
)
@pytest.mark.parametrize("display", [LiveDisplay, PlainLines])
def test_what_is_told_aside_is_a_line_of_each_display(display: Any, event: Event, said: str) -> None:
    console, written = screen(200)
    display(console).listen(event)
    (line,) = written.getvalue().decode().splitlines()
    assert said in line


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_shows_foreign_text_and_acts_on_none(text: str) -> None:
    file = io.StringIO()
    console = Console(file=file, width=200, color_system=None, force_terminal=True)
    console.print(PlainTable(("a", "b", "c"), [("1", text, "2")], title=text))
    assert file.getvalue().count("\n") == 3
    assert "\x1b" not in file.getvalue()
    if text.isascii() and text.isprintable() and text == text.strip():
        assert text in file.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("width", [120, 60])
def test_an_output_of_few_characters_gets_what_it_can_take(encoding: str, width: int) -> None:
    console, written = screen(width, encoding)
    print_front(console, PLAIN)
    print_line(console, "модель ± 1")
    text = written.getvalue().decode(encoding)
    assert ("± SE" in text) == (encoding != "ascii")
    assert ("+- SE" in text) == (encoding == "ascii")
    assert ("модель" in text) == (encoding == "utf-8")
    assert encoding == "utf-8" or "\\u043c\\u043e\\u0434\\u0435\\u043b\\u044c" in text


@pytest.mark.parametrize("width", [100, 80, 60, 40])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_live_display_fits_and_shows_every_number(width: int, encoding: str) -> None:
    console, written = screen(width, encoding, height=60)
    display = LiveDisplay(console)
    display.listen(SearchStarted(SPACE, SPACE.size, 3, 7, 0, 120, (), ("a [red]note[/red] :fire: \x1b[2J",)))
    for point in large().front:
        display.listen(TrialEnded(point.record))
    odd = record(77, split(1, 0, 0), 50, baseline="[bold]\x1b[2J")
    display.listen(TrialStarted(replace(odd, pyramid=WIDE)))
    console.print(display.live.get_renderable())
    text = written.getvalue().decode(encoding)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "\x1b" not in text
    words = text.split()
    for said in ("3/10", "1,011,010,048", "0.8500", "0.0179", "[red]note[/red]", ":fire:", "[bold]\\x1b[2J:"):
        assert said in words, said
