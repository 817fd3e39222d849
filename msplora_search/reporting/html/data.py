"""What the page of a report shows, as one plain object: every figure is that of `front.json` or of a record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from msplora_search.design.costs import Cost
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.selection import advised
from msplora_search.reporting.course import course_of, gains_of
from msplora_search.reporting.deciding import NAMES
from msplora_search.results.records import Measure, TrialRecord
from msplora_search.search.summary import Summary
from msplora_search.settings.document import dump
from msplora_search.tasks.judge import Judge
from msplora_search.text import printable

Export = Callable[[int], str]
"""The command that exports a trial, by its number."""


def page_data(summary: Summary, export: Export, confirmed: dict[str, Any] | None = None) -> dict[str, Any]:
    """JSON of all that the page shows; `confirmed`: what `confirmed_points` made of a confirmation.

    Texts that are not this program's own are one line each. What is no finite number is null.
    """
    results, found, owners = summary.results, summary.to_json(), _owners(summary)
    gains = gains_of(summary)
    data = {
        "study": printable(results.settings.name),
        "metric": results.settings.task.metric_label,
        "bounds": results.metric.bounds,
        "cost": {
            "is": summary.cost_is.value,
            "axis": summary.cost_is.axis,
            "column": summary.cost_is.column,
            "is_params": summary.cost_is is Cost.PARAMS,
        },
        "layers": results.facts["layers"],
        "examples": {
            "validation": len(results.validation.truth),
            "judging": len(results.judging.truth) if results.judging else 0,
        },
        "front": [point.record.number for point in summary.front],
        "paper": summary.paper.record.number if summary.paper else None,
        "ladders": [
            {"targets": printable(word), "points": [point.record.number for point in points]}
            for word, points in summary.ladders.items()
        ],
        "points": _points(summary, export),
        "trials": [_trial(record, owners) for record in results.records],
        "course": asdict(course_of(summary)),
        "gains": asdict(gains) if gains else None,
        "importance": [
            {**share, "name": NAMES[share["factor"]].removeprefix("the ")} for share in found["importance"]
        ],
        "told_apart": len(summary.importance.told) if summary.importance else 0,
        "confirmed": confirmed,
        "advised": advised(summary).record.number if summary.front else None,
        "settings": dump(results.settings.model_dump(mode="json", exclude_none=True)),
        "versions": {printable(name): printable(str(of)) for name, of in results.facts["versions"].items()},
    }
    return {name: _finite(value) for name, value in data.items()}


def _owners(summary: Summary) -> dict[int, int]:
    """The point of each complete trial, both by number."""
    return {record.number: point.record.number for point in summary.points for record in point.trainings}


def _points(summary: Summary, export: Export) -> dict[str, Any]:
    """By number: a POINT of `front.json`, its intervals, its trainings and the command that exports it."""
    interval, judged_interval = _intervals(summary.results.validation), _intervals(summary.results.judging)
    return {
        str(point.record.number): {
            **_texts(point.to_json()),
            "interval_95": interval(point.measure),
            "judged_interval_95": judged_interval(point.judged),
            "trainings": [record.number for record in point.trainings],
            "export": export(point.record.number) if summary.front else None,
        }
        for point in summary.points
    }


def _intervals(judge: Judge | None) -> Callable[[Measure | None], list[float] | None]:
    """`Judge.interval`, once for all measures on a whole part that are as good and as exact; few are different."""
    known: dict[tuple[float, float], list[float]] = {}

    def interval(measure: Measure | None) -> list[float] | None:
        if judge is None or measure is None:
            return None
        alike = measure.metric, measure.metric_se
        if alike not in known:
            known[alike] = list(judge.interval(measure))
        return known[alike]

    return interval


def _trial(record: TrialRecord, owners: dict[int, int]) -> dict[str, Any]:
    return {
        "trial": record.number,
        "state": record.state.value,
        "kind": _kind(record),
        "point": owners.get(record.number),
        "label": _label(record.pyramid),
        "pyramid": _texts({"pyramid": record.pyramid.to_json()})["pyramid"] if record.pyramid else None,
        "adapter_params": record.adapter_params,
        "trainable_params": record.trainable_params,
        "cost": record.cost,
        "size": record.size,
        "served": record.costs.served if record.costs else "",
        "learning_rate": record.learning_rate,
        "seed": record.seed,
        "curve": [{"rung": of.rung, "step": of.step, "loss": of.loss, **_measure(of)} for of in record.curve],
        "judged": _measure(record.judged) if record.judged else None,
        "steps": record.steps,
        "planned_steps": record.planned_steps,
        "seconds": record.seconds,
        "reason": printable(record.reason),
    }


def _measure(of: Measure) -> dict[str, float]:
    return {"metric": of.metric, "metric_se": of.metric_se}


def _kind(record: TrialRecord) -> str:
    """`proposal`, a baseline's name, or what it repeats."""
    if record.repeat_of is not None:
        return f"repeat of trial {record.repeat_of}"
    return printable(record.baseline) if record.baseline else "proposal"


def _label(pyramid: Pyramid | None) -> str:
    return "nothing adapted" if pyramid is None else str(pyramid)


def _texts(point: dict[str, Any]) -> dict[str, Any]:
    """A point whose names of targets and baselines are one line each."""
    pyramid = {**point["pyramid"], "targets": [printable(name) for name in point["pyramid"]["targets"]]}
    named = {"baseline": printable(point["baseline"])} if point.get("baseline") else {}
    return {**point, "pyramid": pyramid, **named}


def confirmed_points(told: dict[str, Any]) -> dict[str, Any]:
    """Of what `Confirmation.to_json` gave, now or in version 0.1.

    Raises LookupError, TypeError or ValueError for what is none.
    """
    front = {str(name) for name in told["front"]}
    return {
        "seeds": int(told["seeds"]),
        "test_examples": int(told["test_examples"]),
        "points": [
            {
                "trial": int(point["trial"]),
                "name": printable(str(point["name"])),
                "on_front": str(point["name"]) in front,
                "adapter_params": int(point["adapter_params"]),
                "cost": int(point.get("cost", point["adapter_params"])),
                "mean": float(point["mean"]),
                "interval_95": [float(end) for end in point["interval_95"]],
                "seeds": [float(metric) for metric in point["seeds"]],
                "proxy_metric": float(point["proxy_metric"]),
            }
            for point in told["points"]
        ],
    }


def _finite(value: Any) -> Any:
    """The same, with None for what JSON has no number for."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(of) for name, of in value.items()}
        case list() | tuple():
            return [_finite(of) for of in value]
    return value
