"""What decides the metric, in a sentence and in a report's section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msplora_search.reporting.wording import table
from msplora_search.search.summary import Summary
from msplora_search.text import markdown

if TYPE_CHECKING:
    from msplora_search.search.importance import Importance, Share

NAMES = {
    "ranks": "the ranks",
    "global rank": "the global rank",
    "mid rank": "the mid rank",
    "layer rank": "the layer rank",
    "groups": "the number of groups",
    "boundaries": "the boundaries of groups",
    "targets": "the targets",
    "alpha": "alpha",
    "rate": "the learning rate",
}
WORTH_TELLING = 0.05
"""Share of a factor that a sentence names after the first."""


def deciding_sentence(summary: Summary) -> list[str]:
    """One sentence that names what decides the most; none where nothing can be told apart."""
    importance = summary.importance
    if importance is None or not importance.told:
        return []
    first, *others = importance.told
    said = f"What decides the {_metric(summary)} here: {NAMES[first.factor]}"
    if len(importance.shares) == 1:
        return [f"{said}, all that is searched."]
    said += f" ({_share(first, ' of the differences')})"
    for other in others:
        if importance.pair or other.share >= WORTH_TELLING:
            said += f"{' and' if importance.pair else ', then'} {NAMES[other.factor]} ({_share(other)})"
    said += "; which of the two more cannot be told" if importance.pair else ""
    if importance.together > first.share:
        said += f"; what factors do only together explains {importance.together:.0%}"
    return [f"{said}."]


def deciding_section(summary: Summary, picture: str) -> list[str]:
    """A report's paragraphs; none where too little was measured. `picture`: how the report names the plot."""
    importance = summary.importance
    if importance is None:
        return []
    columns = ["factor", "alone", "95% interval", "with interactions"]
    rows = [
        [NAMES[s.factor].removeprefix("the "), f"{s.share:.0%}", _range(s, "%"), f"{s.total:.0%}"]
        for s in importance.shares
    ]
    return [
        "## What decides",
        *map(markdown, deciding_words(summary)),
        f"![what decides]({picture})",
        table(columns, rows),
        markdown(_method(importance, summary)),
    ]


def deciding_words(summary: Summary) -> list[str]:
    """`deciding_sentence`, or why nothing can be told; none where too little was measured."""
    importance = summary.importance
    return [] if importance is None else deciding_sentence(summary) or [_untold(importance, summary)]


def _untold(importance: Importance, summary: Summary) -> str:
    said = f"What decides the {_metric(summary)} here cannot be told"
    if not importance.explains:
        return (
            f"{said}: had the {importance.measured} configurations their metrics by chance, some factor would "
            f"seem to matter as much in {importance.chance:.0%} of cases."
        )
    return f"{said} by {importance.measured} configurations: with 95%, no factor explains more than all others."


def _method(importance: Importance, summary: Summary) -> str:
    said = (
        f"Shares of the variance of the {_metric(summary)} over the space, in which each choice of a list is as "
        "likely as another: what a factor explains alone, and with all that it does together with others "
        f"(functional ANOVA, by a Gaussian process of the {importance.measured} measured configurations)."
    )
    if len(importance.shares) > 1:
        said += f" What factors do only together explains {importance.together:.0%}."
    if importance.size is not None:
        said += (
            f" Size, which follows from them, explains {importance.size.share:.0%} ({_range(importance.size)})."
        )
    if any(share.factor == "ranks" for share in importance.shares):
        said += " The ranks of the levels are chosen together, so they are one factor."
    return said


def _share(share: Share, of: str = "") -> str:
    return f"{share.share:.0%}{of}, {_range(share)}"


def _range(share: Share, unit: str = "") -> str:
    low, high = share.interval
    return f"{100 * low:.0f} to {100 * high:.0f}{unit}"


def _metric(summary: Summary) -> str:
    return summary.results.settings.task.metric_label
