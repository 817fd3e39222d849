"""Holm's correction for several comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of comparisons, in their order, adjusted for how many there are.

    Claiming those below 0.05 makes any false claim at all in at most 5% of families, however the comparisons
    depend on each other (Holm, A simple sequentially rejective multiple test procedure, 1979).
    """
    found = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(found, kind="stable")
    times = len(found) - np.arange(len(found))
    raised = np.minimum(1.0, np.maximum.accumulate(found[order] * times))
    told = np.empty(len(found))
    told[order] = raised
    return [float(p) for p in told]
