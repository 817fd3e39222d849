"""Writes the `report/` folder of a study from its storage alone."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msplora_search.design.costs import Cost, Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.space import extent_of
from msplora_search.files import short
from msplora_search.reporting.confirmation import FOLDER, PICTURE, confirmation_section, stored_confirmation
from msplora_search.reporting.deciding import deciding_section
from msplora_search.reporting.figures.all import write_figures
from msplora_search.reporting.figures.curves import has_curves
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.folder import write_folder
from msplora_search.reporting.html.data import confirmed_points, page_data
from msplora_search.reporting.html.live import Live
from msplora_search.reporting.html.page import page
from msplora_search.reporting.html.text import embedded, rendered
from msplora_search.reporting.rates import collapse_sentence, edge_sentence
from msplora_search.reporting.tables import Form, front_table
from msplora_search.reporting.wording import (
    against_lora,
    always,
    columns_sentence,
    comparisons,
    cost_sentence,
    front_columns,
    front_rows,
    metric_words,
    noise_sentence,
    point_row,
    table,
    verdict,
)
from msplora_search.results.records import Evaluation, State, TrialRecord
from msplora_search.search.summary import Summary
from msplora_search.text import code, markdown, printable, spreadsheet


def write_report(summary: Summary, output: Path, storage: str = "") -> Path:
    """Write every file of `output`/report and return the folder. Raises InputError where it cannot.

    `storage`: what commands need to find the study, ` --storage URL`; empty where that is in `output`.
    """
    folder = output / "report"
    text = _markdown(summary, output)
    shown = Shown.of(summary)

    def fill(part: Path) -> None:
        (part / "front.json").write_text(json.dumps(summary.to_json(), indent=2) + "\n", encoding="utf-8")
        (part / "trials.csv").write_text(trials_csv(summary.results.records), encoding="utf-8")
        for form in Form:
            (part / f"front.{form}").write_text(front_table([shown], form), encoding="utf-8")
        write_figures(shown, part)
        (part / "report.md").write_text(text, encoding="utf-8")
        (part / "report.html").write_text(_page(summary, text, part, output, storage), encoding="utf-8")

    write_folder(folder, fill)
    return folder


def live_page(summary: Summary, output: Path, storage: str, live: Live) -> str:
    """`report.html` as it is now, for a server; nothing is written into `output`."""
    with TemporaryDirectory(prefix="msplora-search-") as name:
        pictures = Path(name)
        write_figures(Shown.of(summary), pictures, (".svg",))
        return _page(summary, _markdown(summary, output), pictures, output, storage, live)


def _markdown(summary: Summary, output: Path) -> str:
    return report_markdown(summary, confirmation_section(output, CONFIRMED))


def _page(summary: Summary, text: str, drawn: Path, output: Path, storage: str, live: Live | None = None) -> str:
    """The page with the report's `text` and the pictures in the folder `drawn`."""
    data = page_data(summary, export_commands(output, storage), stored_confirmation(output, confirmed_points))
    pictures = {name: embedded(drawn / name) for name in PICTURES}
    pictures[CONFIRMED] = embedded(output / FOLDER / PICTURE)
    return page(summary, data, rendered(text, pictures), live)


def export_commands(output: Path, storage: str) -> Callable[[int], str]:
    """What gives the command that exports a trial, as a user would type it in the folder of this process."""
    folder, recipe = (shlex.quote(printable(short(path))) for path in (output, output / "recipe"))
    return lambda trial: f"msplora-search export {folder}{storage} --pick trial={trial} --to {recipe}"


FRONT, GROUPS, RANKS, CURVES = "front.svg", "groups.svg", "ranks.svg", "curves.svg"
GAIN, IMPORTANCE = "gain.svg", "importance.svg"
CONFIRMED = f"../{FOLDER}/{PICTURE}"
PICTURES = (FRONT, GROUPS, RANKS, CURVES, GAIN, IMPORTANCE)
"""Of a report, in its folder."""


def report_markdown(summary: Summary, confirmed: Sequence[str] = ()) -> str:
    """The report's text; `confirmed`: paragraphs on what full training said of the front."""
    settings, facts = summary.results.settings, summary.results.facts
    floor, ceiling = summary.results.reference_point
    baselines = ([summary.paper] if summary.paper else []) + summary.lora
    columns, cost = front_columns(summary), summary.cost_is
    parts = [
        f"# {markdown(settings.name)}",
        f"Model {code(settings.model)} ({facts['layers']} layers), data {code(settings.task.dataset.path)}, "
        f"metric {metric_words(summary)}.",
        *map(markdown, against_lora(summary)),
        markdown(verdict(summary)),
        *map(markdown, comparisons(summary)),
        "## Front",
        f"![front]({FRONT})",
        *_pictured(
            bool(summary.front),
            "depth groups",
            GROUPS,
            "A row a point of the front: its global rank, then over the layers the mid rank above the layer rank.",
        ),
        table(columns, _marked(front_rows(summary), cost)),
        "Ranks are global/mid/layer; groups are half-open layer ranges. " + markdown(columns_sentence(summary)),
        markdown(noise_sentence(summary)) + " The choice of training examples is in none of them.",
        "## Baselines",
        table(columns, _marked([point_row(summary, point) for point in baselines], cost)),
        "Each baseline trained like a proposal, at up to three learning rates of the range, of which the best by "
        f"the validation part is shown.{_ladders_sentence(summary)}",
        *map(markdown, (*edge_sentence(summary), *collapse_sentence(summary))),
        *_how_compared(summary),
        *deciding_section(summary, IMPORTANCE),
        *_pictured(
            bool(summary.points),
            "ranks",
            RANKS,
            "The best metric of each pair of ranks; hatched is what was never tried.",
        ),
        *confirmed,
        "## Cost",
        cost_sentence(summary),
        *_pictured(
            has_curves(Shown.of(summary)),
            "curves",
            CURVES,
            "The metric at each rung, and where trials were stopped.",
        ),
        f"![gain]({GAIN})",
        f"Hypervolume {summary.hypervolume:.4f} ({settings.task.metric_label} times decades of {cost.unit}) "
        f"against the reference point {settings.task.metric_label} {floor:.4f} ({markdown(facts['chance_is'])}), "
        f"{cost.told(round(10**ceiling))} ({_ceiling_is(cost)}). "
        "The cheapest point alone may give most of it: it compares searches, and tells little of a front.",
        "## How it was measured",
        f"Each proxy trained {facts['proxy_steps']:,} steps on {facts['train_examples']:,} examples and was "
        f"judged on {facts['validation_examples']:,} others, both from the training split; "
        f"{markdown(facts['precision'])}. "
        "All trials saw the same examples in the same order and began with the same head."
        + (f" {markdown(facts['note'])}." if facts["note"] else ""),
        _space_sentence(summary),
        "Versions: " + ", ".join(markdown(f"{name} {of}") for name, of in facts["versions"].items()) + ".",
        *_failures(summary.results.in_state(State.FAILED)),
    ]
    return "\n\n".join(parts) + "\n"


def _pictured(there: bool, name: str, picture: str, said: str) -> list[str]:
    """A picture and its sentence, where it was drawn."""
    return [f"![{name}]({picture})", said] if there else []


def _ladders_sentence(summary: Summary) -> str:
    words = list(summary.ladders)
    if len(words) < 2:
        return ""
    return f" Plain LoRA has a ladder for each choice of targets; names without @ are of {markdown(words[0])}."


def _how_compared(summary: Summary) -> list[str]:
    """What the sentence on plain LoRA compares."""
    if summary.gain_over_lora is None:
        return []
    return [
        "Against plain LoRA: the difference of what was chosen at each size, its mean over log "
        f"{summary.cost_is.unit}; and the ratio of the sizes that reach a metric, its geometric mean over the "
        "metrics that both reach (as Bjontegaard compares codecs). Both are judged by all parts and "
        "configurations together, and are medians with 95% intervals."
    ]


def _ceiling_is(cost: Cost) -> str:
    """What the reference point's cost is that of; see `search.preparation`."""
    if cost is Cost.PARAMS:
        return "the most that the space or a baseline has"
    return "plain LoRA of one rank more than the space or a baseline has unrolled"


def trials_csv(records: Sequence[TrialRecord]) -> str:
    """One row a trial, in the columns of `CSV_COLUMNS`; that of the scaling only where one is not standard, those
    of what serving costs only where it is known.
    """
    scaled = any(record.pyramid and record.pyramid.scaling is not Scaling.STANDARD for record in records)
    priced = any(record.costs for record in records)
    left_out = {*([] if scaled else ["scaling"]), *([] if priced else ["bytes", "unrolled_rank", "flops"])}
    columns = {name: value for name, value in CSV_COLUMNS.items() if name not in left_out}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([value(record) for value in columns.values()] for record in records)
    return buffer.getvalue()


def _marked(rows: list[tuple[str, ...]], cost: Cost) -> list[list[str]]:
    """Names, pyramids and targets as Markdown; the numbers beside them are that already."""
    first = len(always(cost)) + 1
    return [[*map(markdown, row[:first]), *row[first:]] for row in rows]


def _of_pyramid(value: Callable[[Pyramid], object]) -> Callable[[TrialRecord], object]:
    return lambda record: value(record.pyramid) if record.pyramid else ""


def _of_costs(value: Callable[[Costs], int | None]) -> Callable[[TrialRecord], object]:
    return lambda record: "" if record.costs is None or (found := value(record.costs)) is None else found


def _of_last(value: Callable[[Evaluation], object]) -> Callable[[TrialRecord], object]:
    return lambda record: value(record.final) if record.curve else ""


CSV_COLUMNS: dict[str, Callable[[TrialRecord], object]] = {
    "trial": lambda record: record.number,
    "state": lambda record: record.state.value,
    "baseline": lambda record: spreadsheet(record.baseline or ""),
    "pyramid": _of_pyramid(str),
    "targets": _of_pyramid(lambda pyramid: spreadsheet(" ".join(pyramid.targets))),
    "alpha": _of_pyramid(lambda pyramid: pyramid.alpha.to_json()),
    "scaling": _of_pyramid(lambda pyramid: pyramid.scaling.value),
    "learning_rate": lambda record: record.learning_rate,
    "seed": lambda record: record.seed,
    "repeat_of": lambda record: "" if record.repeat_of is None else record.repeat_of,
    "adapter_params": lambda record: record.adapter_params,
    "trainable_params": lambda record: record.trainable_params,
    "bytes": _of_costs(lambda costs: costs.bytes),
    "unrolled_rank": _of_costs(lambda costs: costs.unrolled_rank),
    "flops": _of_costs(lambda costs: costs.flops),
    "metric": _of_last(lambda last: last.metric),
    "metric_se": _of_last(lambda last: last.metric_se),
    "rung": _of_last(lambda last: last.rung),
    "curve": lambda record: " ".join(f"{evaluation.metric:.6g}" for evaluation in record.curve),
    "steps": lambda record: record.steps,
    "planned_steps": lambda record: record.planned_steps,
    "seconds": lambda record: round(record.seconds, 2),
    "reason": lambda record: spreadsheet(record.reason),
}
"""Columns of `trials.csv`; `curve` holds the metric at each rung, separated by spaces. Texts that are not this
program's own are one line each, and no formulas (see `text.spreadsheet`)."""


def _space_sentence(summary: Summary) -> str:
    facts = summary.results.facts
    extent = extent_of(facts["configurations"], facts["pyramids"])
    scaled = summary.results.settings.space.scaling is Scaling.RANK_STABILISED
    return f"The space holds {extent}; equal models are counted, and trained, once." + (
        " A level of rank r is scaled by alpha / sqrt(r), in the baselines too." if scaled else ""
    )


def _failures(records: list[TrialRecord]) -> list[str]:
    if not records:
        return []
    rows = [(str(r.number), str(r.pyramid), f"{r.learning_rate:g}", markdown(r.reason)) for r in records]
    return ["## Failed trials", table(["trial", "pyramid", "lr", "reason"], rows)]
