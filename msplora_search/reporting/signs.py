"""Signs, in the adapters that a confirmation trained, that the shape of a point does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msplora_search.analysis.reading import read_trained
from msplora_search.analysis.report import analyse
from msplora_search.errors import InputError


def signs_of(folders: Sequence[Path]) -> list[dict[str, Any]] | None:
    """What most of the trainings of one pyramid, each in its folder, show; None where none can be looked at.

    One entry for each sign at a level: `sign`, `level`, `evidence` and `remedy` of the first training that shows
    it, and in how many trainings `of` how many it was `seen`.
    """
    looked, found = 0, dict[tuple[str, str], dict[str, Any]]()
    for folder in folders:
        try:
            findings = analyse(read_trained(folder)).findings
        except InputError:
            continue  # an earlier version kept no adapters; one that never moved shows nothing
        looked += 1
        for (sign, level), finding in {(one.sign, one.level): one for one in findings}.items():
            found.setdefault((sign, level), {**finding.to_json(), "seen": 0})["seen"] += 1
    most = [{**sign, "of": looked} for sign in found.values() if 2 * sign["seen"] > looked]
    return most if looked else None
