"""The findings in sentences and table rows, the same on the terminal and in the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msplora_search.results.noise import difference_se, indistinct
from msplora_search.results.records import State
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary
from msplora_search.text import printable

FRONT_COLUMNS = ("trial", "ranks g/m/l in depth groups", "adapter params", "metric", "± SE", "P(front)", "lr")


def front_rows(summary: Summary) -> list[tuple[str, ...]]:
    """The front as text, one row a point, by rising parameters."""
    return [point_row(point) for point in summary.front]


def point_row(point: Point) -> tuple[str, ...]:
    """One point in the columns of `FRONT_COLUMNS`."""
    record = point.record
    name = f"{record.number}" + (f" ({record.baseline})" if record.baseline else "")
    return (
        name,
        str(record.pyramid),
        f"{point.params:,}",
        f"{point.metric:.4f}",
        f"{record.final.metric_se:.4f}",
        f"{point.front_probability:.2f}",
        f"{record.learning_rate:g}",
    )


def verdict(summary: Summary) -> str:
    """What to take: the smallest point that cannot be told apart from the best."""
    if not summary.front:
        return "No trial was measured to the end, so there is no front."
    best = summary.front[-1]
    smallest = next(p for p in summary.front if indistinct(p.record, best.record))
    if len(summary.front) == 1:
        return (
            f"Trial {best.record.number} ({best.record.pyramid}, {best.params:,} parameters, {best.metric:.4f}) "
            "is the whole front: of the points that may be chosen, none is better and none is smaller."
        )
    if smallest is best:
        return (
            f"The best point, trial {best.record.number} ({best.record.pyramid}, {best.params:,} parameters, "
            f"{best.metric:.4f}), is better than every smaller point of the front by more than one standard "
            "error of the difference."
        )
    return (
        f"Trial {smallest.record.number} ({smallest.record.pyramid}, {smallest.params:,} parameters, "
        f"{smallest.metric:.4f}) cannot be told apart from the best, trial {best.record.number} "
        f"({best.params:,} parameters, {best.metric:.4f}), within one standard error: take the smaller one."
    )


def nothing_completed(summary: Summary) -> str:
    """Why no trial was measured to the end: the commonest reason, and how many had it."""
    ended = [r for r in summary.results.records if r.state in (State.FAILED, State.REFUSED, State.PRUNED)]
    if not ended:
        return "No trial was measured to the end: none was trained."
    (state, reason), count = Counter((r.state, r.reason) for r in ended).most_common(1)[0]
    which = f"{count:,} of {len(ended):,} trials" if len(ended) > 1 else "the only trial"
    return f"No trial was measured to the end: {which} {state.value}: {printable(reason)}"


def comparisons(summary: Summary) -> list[str]:
    """One sentence each on the paper's setting and the LoRA ladder."""
    said = []
    if summary.paper:
        said.append(_comparison(summary, summary.paper, "the paper's setting"))
    if summary.lora:
        best = max(summary.lora, key=lambda p: (p.metric, -p.params))
        rank = (best.record.baseline or "").removeprefix("lora-")
        said.append(_comparison(summary, best, f"the best plain LoRA, rank {rank}"))
    return said


def cost_sentence(summary: Summary) -> str:
    """What the search cost, and what pruning saved."""
    cost, counts = summary.cost, summary.counts
    parts = ", ".join(f"{n} {state}" for state, n in counts.items() if n or state in ("complete", "pruned"))
    return (
        f"{parts}; {cost.steps:,} training steps in {duration(cost.seconds)}, {cost.share:.0%} of the "
        f"{cost.steps_without_pruning:,} that the same trials cost without pruning."
    )


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells in Markdown; `(none)` without rows."""
    if not rows:
        return "(none)"
    cells = [list(columns), ["---"] * len(columns), *map(list, rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _comparison(summary: Summary, baseline: Point, name: str) -> str:
    """The smallest front point that is not measurably worse than a baseline."""
    pyramid = baseline.record.pyramid
    what = f"Against {name} ({pyramid}, {baseline.params:,} parameters, {baseline.metric:.4f})"
    for point in summary.front:
        if point.metric >= baseline.metric or indistinct(point.record, baseline.record):
            if point.record.number == baseline.record.number or point.params >= baseline.params:
                break
            gap = point.metric - baseline.metric
            se = difference_se(point.record.final, baseline.record.final)
            return (
                f"{what}: trial {point.record.number} ({point.record.pyramid}) has {point.params:,} parameters, "
                f"{baseline.params / point.params:.1f} times fewer, and differs by {gap:+.4f} ± {se:.4f}."
            )
    return f"{what}: no smaller point of the front comes within one standard error of it."
