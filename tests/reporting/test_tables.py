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
from msplora_search.reporting.tables import FITTED, Form, front_table, is_front_table
from msplora_search.search.summary import summarise
from msplora_search.text import beyond_pdflatex, latex
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
        assert [line for line in lines if line in (r"\toprule", r"\bottomrule", r"\end{tabular}}%")] == [
            r"\toprule", r"\bottomrule", r"\end{tabular}}%",
        ]  # fmt: skip
        columns = next(found for line in lines if (found := re.match(r"\\begin\{tabular\}\{([lr]+)\}", line)))
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


def compiled(folder: Path, tables: str, *packages: str) -> str:
    """What pdflatex says of a document with these tables, which it must be able to set."""
    if shutil.which("pdflatex") is None:
        missing(
            "pdflatex is not installed; Debian's packages are texlive-latex-base and texlive-latex-recommended"
        )
    head = "\n".join(["\\documentclass{article}", *(f"\\usepackage{name}" for name in packages)])
    text = f"{head}\n\\begin{{document}}\n{tables}\n\\end{{document}}\n"
    (folder / "t.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-2000:]
    return said


BOOKTABS, GRAPHICX, T1 = "{booktabs}", "{graphicx}", "[T1]{fontenc}"


def test_a_table_is_one_to_latex_and_no_wider_than_the_text(tmp_path: Path) -> None:
    """With accents, as its first line says, and with signs of mathematics; other letters need another engine."""
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
    assert r"Overfull \hbox" in compiled(tmp_path, tables.replace(FITTED, r"\usebox0"), BOOKTABS, T1)
    assert r"Overfull \hbox" not in compiled(tmp_path, tables, BOOKTABS, T1, GRAPHICX)


def test_a_table_that_is_not_too_wide_is_set_as_it_is(tmp_path: Path) -> None:
    size = "\n\\typeout{it is \\the\\wd1, was \\the\\wd0}"
    table = front_table([SHOWN], Form.LATEX).replace(FITTED, rf"\sbox1{{{FITTED}}}")
    found = re.search(r"it is (.+), was (.+)", compiled(tmp_path, table + size, BOOKTABS))
    assert found is not None
    assert found[1] == found[2] != "0.0pt"


def test_what_pdflatex_cannot_set_is_named_and_all_else_it_can(tmp_path: Path) -> None:
    every = [chr(c) for c in range(0xA0, 0x2C00) if latex(chr(c)) == chr(c)]
    lacking = beyond_pdflatex("".join(every))
    able = [c for c in every if c not in lacking]
    assert len(able) > 200
    assert {"é", "ł", "–", "→"} <= {*able}  # noqa: RUF001
    compiled(tmp_path, "\n\n".join(able), T1)
    assert "cannot" not in front_table(named("".join(able[:40])), Form.LATEX)
    table = front_table(named("\u03b1 漢字 é 漢 ж"), Form.LATEX)
    assert "% pdfLaTeX cannot set 漢 (U+6F22), 字 (U+5B57), ж (U+0436): take LuaLaTeX or\n" in table
    assert r"$\alpha$ 漢字 é 漢 ж &" in table
    assert "ϧ (U+03E7) and 30 more" in front_table(named("".join(map(chr, range(0x3DE, 0x406)))), Form.LATEX)


@pytest.mark.parametrize("text", [t for t in HOSTILE if t])
def test_names_are_cells(text: str) -> None:
    rows = list(csv.DictReader(front_table(named(text), Form.CSV).splitlines()))
    assert len(rows) == 4
    assert all(row["study"][:1] not in tuple("=+-@") for row in rows)
    lines = front_table(named(text), Form.MARKDOWN).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
