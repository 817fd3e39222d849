"""What confirmed points cost, in words: beside each other, to serve, and how long a batch takes."""

from __future__ import annotations

from typing import Any

from msplora_search.design.costs import Cost, Costs
from msplora_search.reporting.figures.confirm import cost_in, cost_of
from msplora_search.text import printable


def smaller(point: dict[str, Any], rival: dict[str, Any], told: dict[str, Any]) -> str:
    """Such as `3.2 times fewer parameters`."""
    (own, other), unit = (cost_of(point), cost_of(rival)), cost_in(told).unit
    if own == other:
        return f"as many {unit}"
    if own < other:
        return f"{other / own:.1f} times fewer {unit}"
    return f"{own / other:.1f} times as many {unit}"


def measured_in(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What serving the points takes, of those for which it was measured."""
    return [point["serving"] for point in told["points"] if point.get("serving")]


def latency(point: dict[str, Any]) -> str:
    """Such as `1.32 (1.28 to 1.37) times`."""
    if not (serving := point.get("serving")):
        return ""
    low, middle, high = serving["unmerged"]
    return f"{middle:.2f} ({low:.2f} to {high:.2f}) times"


def latency_sentence(told: dict[str, Any]) -> list[str]:
    """What the latencies are of."""
    if not (found := measured_in(told)):
        return []
    merged = [of["merged"][1] for of in found if of["merged"]]
    alone = f"; merged, {min(merged):.2f} to {max(merged):.2f} times" if merged else ""
    return [
        f"Latency is that of a batch of {found[0]['rows']} test examples on {printable(str(found[0]['device']))} "
        "with the adapter beside the weights by PEFT, as a ratio to the same without it, measured in turn: the "
        f"median of {min(of['rounds'] for of in found)} rounds or more, and their middle half{alone}."
    ]


def served_costs(told: dict[str, Any]) -> list[Cost]:
    """What of serving the points is known, beside their parameters."""
    known = [point.get("costs") for point in told["points"]]
    if not all(known):
        return []
    costs = [Costs.from_json(of) for of in known if of]
    return [c for c in (Cost.UNROLLED_RANK, Cost.BYTES, Cost.FLOPS) if all(of.knows(c) for of in costs)]
