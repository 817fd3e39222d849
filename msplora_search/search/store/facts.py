"""What a report needs beside the trials, as it is stored with a study: checked, and filled where it is older."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

REQUIRED: dict[str, type] = {"settings": dict, "labels": str, "layers": int, "reference_point": dict}
DEFAULTS: dict[str, Any] = {
    "data": "",
    "labels_dtype": "<i4",
    "classes": [],
    "train_examples": 0,
    "validation_examples": 0,
    "note": "",
    "configurations": None,
    "pyramids": None,
    "baselines": 0,
    "proxy_steps": 0,
    "head_params": 0,
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
    facts["reference_point"] = {name: float(point[name]) for name in ("metric", "log10_adapter_params")}
    return facts


def labels_of(facts: dict[str, Any]) -> NDArray[Any]:
    """What the metric compares predictions with. Raises ValueError where it is not what was stored."""
    dtype = facts["labels_dtype"]
    if dtype not in LABELS:
        raise ValueError(f"labels are of type {dtype}")
    stored = np.frombuffer(base64.b64decode(facts["labels"], validate=True), dtype=dtype)
    return stored.astype(np.int64 if dtype == "<i4" else np.float64)
