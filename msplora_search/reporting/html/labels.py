"""Text for Plotly, which reads pseudo-HTML in every label."""

from __future__ import annotations

import html
import textwrap
from typing import Any

from msplora_search.text import brief

WIDE, LONG = 44, 160
"""Characters of a line of a hover label, and of the longest name in it."""
LEVEL = 95


def plain(text: str) -> str:
    """Text that Plotly shows as it stands: no tag, link or entity of its own, and no `%{...}` either."""
    return html.escape(text, quote=False).replace("%{", "%&#123;")


def lines(*told: str) -> str:
    """A hover label of several lines; long ones are wrapped."""
    return "<br>".join(plain(part) for line in told if line for part in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    """Most lines need nothing done, and of a study's trials there are ten thousands."""
    if len(line) <= WIDE and line.isprintable() and not line.endswith(" "):
        return [line]
    return textwrap.wrap(brief(line, LONG), WIDE)


def measured(metric: str, point: dict[str, Any]) -> list[str]:
    """The figures of a point of `page_data`, a line each."""
    said = [f"{metric} {number(point['metric'])} ({_range(point['interval_95'])})"]
    if point["metric_judged"] is not None:
        said.append(f"judged {number(point['metric_judged'])} ({_range(point['judged_interval_95'])})")
    return said


def headline(trial: dict[str, Any]) -> list[str]:
    """What a trial of `page_data` trained, a line each."""
    name = f"trial {trial['trial']}" + ("" if trial["kind"] == "proposal" else f" ({trial['kind']})")
    return [f"{name}: {trial['label']}", f"{trial['size']}, lr {trial['learning_rate']:g}"]


def number(value: float | None) -> str:
    """A metric; what was no finite number is none here."""
    return "unknown" if value is None else f"{value:.4f}"


def _range(ends: list[float] | None) -> str:
    return f"{LEVEL}%: {ends[0]:.3f} to {ends[1]:.3f}" if ends else "no interval"
