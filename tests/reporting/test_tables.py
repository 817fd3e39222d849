"""Fronts as tables: every number there, and foreign names as text."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.tables import Form, front_table, is_front_table
from msplora_search.search.summary import summarise
from msplora_search.text import latex
from tests.example import results
from tests.test_text import HOSTILE

SHOWN = Shown.of(summarise(results()))
PLAIN = re.compile(r"(?<!\\)(?:\\\\)*[&%$#_{}~^]")


def named(name: str) -> list[Shown]:
    return [replace(SHOWN, label=name), SHOWN]


@pytest.mark.parametrize("form", list(Form))
def test_a_table_is_known_by_its_first_line(form: Form) -> None:
    for studies in ([SHOWN], named("other")):
        assert is_front_table(front_table(studies, form).splitlines()[0], form)
    assert not is_front_table("a,b,c", form)


def test_a_csv_holds_every_number() -> None:
    rows = list(csv.DictReader(front_table([SHOWN], Form.CSV).splitlines()))
    assert [int(row["trial"]) for row in rows] == [p.trial for p in SHOWN.file.front]
    for row, point in zip(rows, SHOWN.file.front, strict=True):
        assert float(row["metric"]) == point.metric
        assert float(row["times_best_lora"]) == pytest.approx(point.adapter_params / 18_432, rel=1e-4)
        assert float(row["metric_low_95"]) < point.metric < float(row["metric_high_95"])


def test_latex_has_rules_and_as_many_cells_in_each_row() -> None:
    for studies in ([SHOWN], named("a & b_c \\ $x$ % {")):
        lines = front_table(studies, Form.LATEX).splitlines()
        assert [line for line in lines if line in (r"\toprule", r"\bottomrule", r"\end{tabular}")] == [
            r"\toprule", r"\bottomrule", r"\end{tabular}",
        ]  # fmt: skip
        columns = re.match(r"\\begin\{tabular\}\{([lr]+)\}", lines[1])
        assert columns is not None
        rows = [line for line in lines if line.endswith(r" \\")]
        assert len(rows) == 1 + 2 * len(studies)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}


@given(st.text() | st.sampled_from(HOSTILE))
def test_nothing_in_latex_is_a_command_of_a_name(text: str) -> None:
    found = latex(text)
    allowed = r"\\(?:textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}|\\[&%$#_{}]"
    rest = re.sub(allowed, "", found)
    rest = re.sub(r"\{(?:\[|\]|-|'|''|`|\*)\}", "", rest)
    assert not set(rest) & set("\\&%$#_{}~^<>|\"[]'`*\n")


@pytest.mark.parametrize("text", [t for t in HOSTILE if t])
def test_names_are_cells(text: str) -> None:
    rows = list(csv.DictReader(front_table(named(text), Form.CSV).splitlines()))
    assert len(rows) == 4
    assert all(row["study"][:1] not in tuple("=+-@") for row in rows)
    lines = front_table(named(text), Form.MARKDOWN).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
