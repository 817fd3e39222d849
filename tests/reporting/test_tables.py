"""Fronts as tables: every number there, and foreign names as text."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.tables import Form, front_table, is_front_table
from msplora_search.search.summary import summarise
from msplora_search.text import latex
from tests.example import results
from tests.servers import missing
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
    rest = re.sub(r"\$(?:\\[A-Za-z]+|-)\$|\\,", "", rest)
    rest = re.sub(r"\{(?:\[|\]|-|'|''|`|\*)\}", "", rest)
    assert not set(rest) & set("\\&%$#_{}~^<>|\"[]'`*\n")


def test_a_table_is_one_to_latex(tmp_path: Path) -> None:
    """With accents, as its first line says, and with signs of mathematics; other letters need another engine."""
    if shutil.which("pdflatex") is None:
        missing(
            "pdflatex is not installed; Debian's packages are texlive-latex-base and texlive-latex-recommended"
        )
    names = [
        *HOSTILE,
        "100% _ & # ~ ^ \\ { } $ é ł ğ « →",
        "\u03b1=8 ≤ 2\u22121\u2009Ω",
        "\\input{/etc/hostname}",
        "a" * 300,
    ]
    shown = [replace(SHOWN, label=name, file=replace(SHOWN.file, metric=name)) for name in names]
    tables = "\n\n".join(
        front_table(studies, Form.LATEX) for studies in (shown, [shown[0]], [SHOWN], *[[s] for s in shown])
    )
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage[T1]{fontenc}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{tables}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-2000:]


@pytest.mark.parametrize("text", [t for t in HOSTILE if t])
def test_names_are_cells(text: str) -> None:
    rows = list(csv.DictReader(front_table(named(text), Form.CSV).splitlines()))
    assert len(rows) == 4
    assert all(row["study"][:1] not in tuple("=+-@") for row in rows)
    lines = front_table(named(text), Form.MARKDOWN).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
