"""What `confirm` leaves: `confirm.json`, its table in words, and its plot; a report shows it too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msplora_search.files import damaged, read_json
from msplora_search.full.confirm import FOLDER, OneTraining
from msplora_search.full.judgement import Comparison, Confirmation, Confirmed
from msplora_search.reporting.folder import write_folder
from msplora_search.reporting.plots import draw_confirmation
from msplora_search.reporting.wording import duration, table
from msplora_search.text import markdown

JSON, TEXT, PICTURE = "confirm.json", "confirm.md", "confirm.svg"
REMEDY = "delete it, and let `msplora-search confirm` make it anew from the trainings that are done"


def write_confirmation(confirmation: Confirmation, output: Path) -> Path:
    """Write `output`/confirm/confirm.json, .md, .png and .svg; the path of the text.

    Raises InputError where it cannot.
    """
    folder, told = output / FOLDER, confirmation.to_json()
    title = f"# {markdown(told['study'])}, confirmed"

    def fill(part: Path) -> None:
        draw_confirmation(told, part)
        text = "\n\n".join([title, *confirmation_markdown(told, PICTURE)]) + "\n"
        (part / TEXT).write_text(text, encoding="utf-8")
        (part / JSON).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    write_folder(folder, fill, last=JSON)
    return folder / TEXT


def training_line(training: OneTraining) -> str:
    """One full training of a confirmation, for a terminal."""
    took = "already trained" if training.seconds is None else duration(training.seconds)
    return (
        f"{training.done} of {training.of}: {training.name}, seed {training.seed}: "
        f"{training.metric:.4f} on the test part ({took})"
    )


def confirmation_section(output: Path, picture: str) -> list[str]:
    """A report's paragraphs on the confirmation of `output`; none where it was not confirmed.

    `picture`: how the report names the plot. Raises InputError where the confirmation is damaged.
    """
    stored = output / FOLDER / JSON
    if not stored.is_file():
        return []
    told = read_json(stored, REMEDY)
    try:
        return ["## Confirmed in full", *confirmation_markdown(told, picture)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(stored, f"{type(error).__name__}: {error}", REMEDY) from None


def confirmation_markdown(told: dict[str, Any], picture: str) -> list[str]:
    """Paragraphs on what `Confirmation.to_json` gave."""
    metric = markdown(told["metric"])
    columns = ["point", "ranks g/m/l in depth groups", "adapter params", metric, "95% interval", "proxy"]
    rivals = [f"against {name}" for name in ("the paper's pyramid", "LoRA, no smaller")]
    return [
        f"![confirmed]({picture})",
        table([*columns, *rivals], [_row(point, told["front"]) for point in told["points"]]),
        f"Each point was trained in full with {told['seeds']} seed{'s' * (told['seeds'] > 1)} and judged on the "
        f"{told['test_examples']:,} test examples, which the search never read. Bold: the confirmed front. "
        "Intervals are over test examples and seeds; differences are paired, seed by seed and example by example, "
        "with their two-sided p-values.",
        ranking_sentence(told),
    ]


def confirmation_lines(confirmation: Confirmation) -> list[str]:
    """The findings for a terminal: a line a point, and under it its comparisons."""
    lines = []
    for confirmed in confirmation.points:
        lines.append(_headline(confirmed, confirmation))
        lines += [f"    {_against(versus)}" for versus in confirmed.comparisons]
    return [*lines, ranking_sentence(confirmation.to_json())]


def ranking_sentence(told: dict[str, Any]) -> str:
    """How well the proxy ranked the points."""
    if told["kendall_tau"] is None or None in told["kendall_tau_interval_95"]:
        return (
            "How well the proxy ranked them cannot be told: its metric or the confirmed one is the same for all."
        )
    low, high = told["kendall_tau_interval_95"]
    tau = told["kendall_tau"]
    return f"How well the proxy ranked them: Kendall tau {tau:.2f} (95% interval {low:.2f} to {high:.2f})."


def _headline(confirmed: Confirmed, confirmation: Confirmation) -> str:
    point, (low, high) = confirmed.point, confirmed.interval
    mark = " (on the confirmed front)" if confirmed in confirmation.front else ""
    return (
        f"{confirmed.name}, {point.record.pyramid}, {point.params:,} parameters: "
        f"{confirmation.results.settings.task.metric_label} {confirmed.mean:.4f} ({low:.4f} to {high:.4f}), "
        f"proxy {point.metric:.4f}{mark}"
    )


def _against(versus: Comparison) -> str:
    low, high = versus.interval
    interval = f"({low:+.4f} to {high:+.4f})"
    return f"against {versus.baseline}: {versus.difference:+.4f} {interval}, p = {versus.p_value:.3f}"


def _row(point: dict[str, Any], front: list[str]) -> list[str]:
    name = f"**{markdown(point['name'])}**" if point["name"] in front else markdown(point["name"])
    low, high = point["interval_95"]
    versus = {"paper" if c["baseline"] == "paper" else "lora": c for c in point["comparisons"]}
    return [
        name,
        markdown(point["pyramid"]),
        f"{point['adapter_params']:,}",
        f"{point['mean']:.4f}",
        f"{low:.4f} to {high:.4f}",
        f"{point['proxy_metric']:.4f}",
        *[_difference(versus.get(rival), rival) for rival in ("paper", "lora")],
    ]


def _difference(versus: dict[str, Any] | None, rival: str) -> str:
    if versus is None:
        return ""
    name = "" if rival == "paper" else f" ({markdown(versus['baseline'])})"
    return f"{versus['difference']:+.4f}, p {versus['p_value']:.3f}{name}"
