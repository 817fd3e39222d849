"""The fronts of studies as tables for spreadsheets (CSV), pages (Markdown) and papers (LaTeX)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from enum import StrEnum

from msplora_search.design.costs import Cost
from msplora_search.errors import InputError
from msplora_search.reporting.figures.shown import Shown
from msplora_search.results.front_file import FrontPoint
from msplora_search.results.noise import interval
from msplora_search.text import beyond_pdflatex, brief, latex, markdown, spreadsheet

NORMAL = 1.959964
"""Standard errors on both sides that hold 95% of a normal distribution."""
MARK = "% front of msplora-search"
"""First line of a LaTeX table."""
FITTED = r"\noindent\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
"""Last line of a LaTeX table: sets box 0, in the width of the text where it is wider."""
MOST_NAMED = 10
"""Characters that a comment names."""
CSV = (
    "study", "model", "trial", "pyramid", "targets", "adapter_params", "times_best_lora", "metric_name", "metric",
    "metric_se", "metric_low_95", "metric_high_95", "metric_judged", "metric_judged_se", "front_probability",
    "learning_rate", "seeds", "cost_is", "cost",
)  # fmt: skip


class Form(StrEnum):
    """Of a table, by the suffix of its file."""

    CSV = "csv"
    MARKDOWN = "md"
    LATEX = "tex"


def front_table(studies: Sequence[Shown], form: Form) -> str:
    """All fronts, a row a point by rising cost, study by study.

    Sizes are told beside those of the study's best plain LoRA. Intervals are over the choice of examples.
    Raises InputError where studies made different costs small, but for CSV, which says of each row which it is.
    """
    costs = list(dict.fromkeys(shown.file.cost_is for shown in studies))
    if len(costs) > 1 and form is not Form.CSV:
        raise InputError(
            f"the studies make different costs small ({', '.join(costs)}); give those of one, or a .csv"
        )
    match form:
        case Form.CSV:
            return _csv(studies)
        case Form.MARKDOWN:
            head, rows = _cells(studies, lambda text: markdown(brief(text, 60)), "±", ("", ""))
            lines = [head, ["---"] * 2 + ["---:"] * (len(head) - 2), *rows]
            return "".join("| " + " | ".join(line) + " |\n" for line in lines)
        case Form.LATEX:
            return _latex(studies)


def is_front_table(first_line: str, form: Form) -> bool:
    """Whether a file that begins so is one of these tables."""
    line = first_line.rstrip("\r\n")
    match form:
        case Form.CSV:
            return line in (",".join(CSV), ",".join(CSV[:-2]))  # older ones knew parameters alone
        case Form.MARKDOWN:
            return line.startswith(("| trial | ranks g/m/l |", "| study | trial | ranks g/m/l |"))
        case Form.LATEX:
            return line.startswith(MARK)


def best_lora(shown: Shown) -> FrontPoint | None:
    """By the validation part; of equals the smaller."""
    return max(shown.file.lora, key=lambda p: (p.metric, -p.cost), default=None)


def _csv(studies: Sequence[Shown]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV)
    for shown in studies:
        best = best_lora(shown)
        for p in shown.file.front:
            low, high = interval(p.metric, NORMAL * p.metric_se, shown.bounds)
            writer.writerow([
                spreadsheet(shown.label), spreadsheet(shown.file.model or ""), p.trial, str(p.pyramid),
                spreadsheet(" ".join(p.pyramid.targets)), p.adapter_params,
                "" if best is None else f"{p.cost / best.cost:.6g}",
                spreadsheet(shown.file.metric), p.metric, p.metric_se, low, high,
                "" if p.metric_judged is None else p.metric_judged,
                "" if p.metric_judged_se is None else p.metric_judged_se,
                p.front_probability, p.learning_rate, p.seeds, shown.file.cost_is.value, p.cost,
            ])  # fmt: skip
    return file.getvalue()


def _latex(studies: Sequence[Shown]) -> str:
    head, rows = _cells(studies, lambda text: latex(brief(text, 60)), r"\pm", ("$", "$"))
    left = 3 if len(studies) > 1 else 2
    lines = [
        f"\\begin{{tabular}}{{{'l' * left}{'r' * (len(head) - left)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for place, row in enumerate(rows):
        if place and len(studies) > 1 and row[0] != rows[place - 1][0]:
            lines.append(r"\midrule")
        lines.append(" & ".join(row) + r" \\")
    table = "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])
    return "\n".join([*_needs(table), r"\sbox0{%", f"{table}}}%", FITTED]) + "\n"


def _needs(table: str) -> list[str]:
    """What the document that takes a LaTeX table must have, as comments."""
    needs = [
        f"{MARK}; needs \\usepackage{{booktabs}}, for names with accents \\usepackage[T1]{{fontenc}} too, and",
        "% \\usepackage{graphicx} where it is wider than the text, to whose width it is shrunk then",
    ]
    if lacking := beyond_pdflatex(table):
        named = ", ".join(f"{c} (U+{ord(c):04X})" for c in lacking[:MOST_NAMED])
        more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
        needs += [
            f"% pdfLaTeX cannot set {named}{more}: take LuaLaTeX or",
            "% XeLaTeX, and \\usepackage{fontspec} with \\setmainfont{a font that has them} in place of fontenc",
        ]
    return needs


def _cells(
    studies: Sequence[Shown], escape: Callable[[str], str], plus: str, maths: tuple[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of a table for people; `maths`: what stands around a number with its error."""
    several = len(studies) > 1
    judged = any(p.metric_judged is not None for shown in studies for p in shown.file.front)
    targets = len({p.pyramid.targets for shown in studies for p in shown.file.front}) > 1
    names = list(dict.fromkeys(shown.file.metric for shown in studies))
    metric = escape(names[0]) if len(names) == 1 else "metric"
    half = f"{metric} (95\\%)" if maths[0] else f"{metric} (95%)"
    times = r"$\times$ LoRA" if maths[0] else "x LoRA"
    cost = studies[0].file.cost_is if studies else Cost.PARAMS
    priced = cost is not Cost.PARAMS
    size = [*([escape(cost.column)] if priced else []), "parameters"]
    head = ["trial", "ranks g/m/l", *(["targets"] if targets else []), *size, times, half]
    head = [*(["study"] if several else []), *head, *(["judged"] if judged else [])]

    def number(value: float | None, se: float | None) -> str:
        return "" if value is None or se is None else f"{maths[0]}{value:.4f} {plus} {NORMAL * se:.4f}{maths[1]}"

    rows = []
    for shown in studies:
        best = best_lora(shown)
        for p in shown.file.front:
            row = [f"{p.trial}", escape(str(p.pyramid))]
            row += [escape(shown.word_for(p.pyramid.targets))] if targets else []
            row += [f"{p.cost:,}"] if priced else []
            row += [f"{p.adapter_params:,}", f"{p.cost / best.cost:.3g}" if best else ""]
            row += [number(p.metric, p.metric_se)]
            row += [number(p.metric_judged, p.metric_judged_se)] if judged else []
            rows.append([*([escape(shown.label)] if several else []), *row])
    return head, rows
