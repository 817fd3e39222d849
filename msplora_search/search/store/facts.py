"""What a report needs beside the trials, as it is stored with a study: checked, and filled where it is older."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.costs import Cost
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import Metric

REQUIRED: dict[str, type] = {"settings": dict, "labels": str, "layers": int, "reference_point": dict}
DEFAULTS: dict[str, Any] = {
    "data": "",
    "labels_dtype": "<i4",
    "groups": None,
    "judging": None,
    "classes": [],
    "train_examples": 0,
    "validation_examples": 0,
    "note": "",
    "configurations": None,
    "pyramids": None,
    "baselines": 0,
    "repeats": 0,
    "proxy_steps": 0,
    "head_params": 0,
    "lora_units": {},
    "precision": "unknown precision",
    "chance_is": "the metric of chance",
    "versions": {},
}
"""What a version that did not store a fact yet is taken to have stored."""
LABELS = ("<i4", "<f8")


def complete_facts(stored: Any) -> dict[str, Any]:
    """Stored facts with every field that is read of them. Raises ValueError, TypeError or KeyError."""
    if not isinstance(stored, dict):
        raise TypeError("facts are no mapping")
    if lacking := [name for name in REQUIRED if name not in stored]:
        raise ValueError(f"facts lack {', '.join(lacking)}")
    facts = {**DEFAULTS, **stored}
    wanted = {**REQUIRED, **{name: type(value) for name, value in DEFAULTS.items() if value is not None}}
    if wrong := [name for name, kind in wanted.items() if not isinstance(facts[name], kind)]:
        raise TypeError(f"facts have no {wanted[wrong[0]].__name__} under {wrong[0]}")
    for name in ("configurations", "pyramids"):  # None: too many to count, or a range of learning rates
        if not isinstance(facts[name], int | None):
            raise TypeError(f"facts have no number under {name}")
    point = facts["reference_point"]
    facts["reference_point"] = {name: float(point[name]) for name in ("metric", _cost_of(facts["settings"]).key)}
    return facts


def _cost_of(settings: dict[str, Any]) -> Cost:
    """What the study makes small, by its stored settings; a version that made parameters small did not say so."""
    match settings:
        case {"search": {"cost": cost}}:
            return Cost(cost)
    return Cost.PARAMS


def part_told(part: Judge) -> dict[str, Any]:
    """What a measurement on a part is compared with, as it is stored."""
    dtype = LABELS[0] if np.issubdtype(part.truth.dtype, np.integer) else LABELS[1]
    groups = None if part.groups is None else base64.b64encode(part.groups.astype(LABELS[0]).tobytes()).decode()
    labels = base64.b64encode(part.truth.astype(dtype).tobytes()).decode()
    numbers = {"labels_numbers": part.truth.shape[1]} if part.truth.ndim == 2 else {}
    return {"labels": labels, "labels_dtype": dtype, **numbers, "groups": groups}


def judges_of(facts: dict[str, Any], metric: Metric) -> tuple[Judge, Judge | None]:
    """Those of the validation and the judging part. Raises ValueError or KeyError for what was not stored so."""
    judging = facts["judging"]
    return _judge_of(facts, metric), None if judging is None else _judge_of(judging, metric)


def _judge_of(part: dict[str, Any], metric: Metric) -> Judge:
    if part["labels_dtype"] not in LABELS:
        raise ValueError(f"labels are of type {part['labels_dtype']}")
    truth = _numbers(part["labels"], part["labels_dtype"])
    if (numbers := part.get("labels_numbers")) is not None:  # several an example
        truth = truth.reshape(-1, numbers)
    groups = part.get("groups")
    return Judge(metric, truth, None if groups is None else _numbers(groups, LABELS[0]))


def _numbers(stored: str, dtype: str) -> NDArray[Any]:
    found = np.frombuffer(base64.b64decode(stored, validate=True), dtype=dtype)
    return found.astype(np.int64 if dtype == LABELS[0] else np.float64)
