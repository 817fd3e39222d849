"""The findings in sentences and table rows, the same on the terminal and in the report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msplora_search.design.costs import Cost
from msplora_search.full.selection import advised
from msplora_search.results.noise import LEVEL, quantile
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.baselines import AT
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary
from msplora_search.text import amount, amounts, printable, signed, times

MOST_NAMES = 5
"""Of baselines in one sentence."""


def front_columns(summary: Summary) -> tuple[str, ...]:
    """Of a table of points: two of the judging part where there is one, one of targets where they are a choice."""
    metric = summary.results.settings.task.metric_label
    judged = ("judged", "± SE") if summary.results.judging else ()
    targets = ("targets",) if _has_choice(summary) else ()
    return (*always(summary.cost_is), *targets, metric, "± SE", *judged, "P(front)", "lr")


def always(cost: Cost) -> tuple[str, ...]:
    """First columns of every table of points; parameters stand there in any case."""
    return ("trial", "ranks g/m/l in depth groups", *dict.fromkeys([cost.column, Cost.PARAMS.column]))


def sizes(record: TrialRecord) -> tuple[str, ...]:
    """The cells of a trial in those columns that `always` has of its size."""
    own = () if record.cost_is is Cost.PARAMS else (f"{record.cost:,}",)
    return (*own, f"{record.adapter_params:,}")


def front_rows(summary: Summary) -> list[tuple[str, ...]]:
    """The front as text, one row a point, by rising cost."""
    return [point_row(summary, point) for point in summary.front]


def point_row(summary: Summary, point: Point) -> tuple[str, ...]:
    """One point in the columns of `front_columns`; the smallest has no probability, as nothing is smaller."""
    record, measures = point.record, [point.measure]
    if summary.results.judging:
        measures += [point.judged] if point.judged else []
    cells = [cell for of in measures for cell in (f"{of.metric:.4f}", f"{of.metric_se:.4f}")]
    missing = 2 * (1 + bool(summary.results.judging)) - len(cells)
    smallest = bool(summary.front) and point is summary.front[0]
    targets = (
        (printable(summary.word_for(record.pyramid.targets)),) if _has_choice(summary) and record.pyramid else ()
    )
    return (
        f"{record.number}" + (f" ({record.baseline})" if record.baseline else ""),
        str(record.pyramid) + (f" ({len(point.trainings)} seeds)" if len(point.trainings) > 1 else ""),
        *sizes(record),
        *targets,
        *cells,
        *["-"] * missing,
        "-" if smallest else f"{point.front_probability:.2f}",
        f"{record.learning_rate:g}",
    )


def _has_choice(summary: Summary) -> bool:
    """Whether several choices of targets are searched."""
    return len(summary.results.settings.space.targets) > 1


def against_lora(summary: Summary) -> list[str]:
    """One sentence on the front against plain LoRA over all sizes, in which what is above 0 is better; or none."""
    gain, ratio = summary.gain_over_lora, summary.size_ratio
    if gain is None or learned_nothing(summary):
        return []
    bounds, metric = summary.results.metric.bounds, summary.results.settings.task.metric_label
    unit = summary.cost_is.unit
    (low, high), (smallest, largest) = gain.interval, gain.sizes
    where = f"Over {smallest:,} to {largest:,}" if smallest < largest else f"At {smallest:,}"
    several = f"the best of {len(summary.ladders)} ladders of " if len(summary.ladders) > 1 else ""
    by, rival = amount(abs(gain.metric), bounds), f"{several}plain LoRA of equal size"
    how = f"is {by} {'worse' if gain.metric < 0 else 'better'} than {rival}"
    if by == amount(0.0, bounds):
        how = f"differs from {rival} by {by}"
    said = f"{where} {unit} the front {how} (95%: {signed(low, bounds)} to {signed(high, bounds)})"
    if ratio is None:
        return [f"{said}; what size it needs for an equal {metric} cannot be told, as they hardly reach the same."]
    rarely = f", if they reach the same: {ratio.share:.0%}" if ratio.share < LEVEL else ""
    low, high = ratio.interval
    return [
        f"{said}, and needs {times(ratio.ratio)} times its {unit} for an equal {metric} "
        f"({times(low)} to {times(high)}{rarely})."
    ]


def metric_words(summary: Summary) -> str:
    """The metric by its name; which way it is better, where its values alone do not say so."""
    label = summary.results.settings.task.metric_label
    return label if all(map(math.isfinite, summary.results.metric.bounds)) else f"{label} (larger is better)"


def verdict(summary: Summary) -> str:
    """What to take: the smallest point within one standard error of the best, and what it costs at most."""
    if not summary.front:
        return "No trial was measured to the end, so there is no front."
    best, point = summary.front[-1], advised(summary)
    if learned_nothing(summary):
        facts = summary.results.facts
        return (
            f"Nothing is clearly better than {facts['chance_is']} ({summary.results.reference_point[0]:.4f}): the "
            f"best, {_told(best)}, has {best.metric:.4f}. Train longer, at other learning rates, or with another "
            "model, before any of these is chosen."
        )
    if len(summary.front) == 1:
        return f"{_told(point)} is the whole front: of what may be chosen, nothing is better and nothing smaller."
    if point is best:
        return (
            f"Take {_told(best)}, the best: no smaller point is within one standard error of it.{_among(summary)}"
        )
    return (
        f"Take {_told(point)}: {non_inferior(summary, point, best)} than the best, trial {best.record.number} "
        f"({best.record.size}), with {best.cost / point.cost:.1f} times fewer {summary.cost_is.unit}."
        f"{_among(summary)}"
    )


def learned_nothing(summary: Summary) -> bool:
    """Whether the best metric may be that of chance, with 95% confidence over the choice of examples.

    Then what separates configurations is chance too, and none is compared with another. False without a front.
    """
    if not summary.front:
        return False
    measure, units = summary.front[-1].measure, len(summary.front[-1].measure.influence)
    above = measure.metric - summary.results.reference_point[0]
    return above <= quantile(2 * LEVEL - 1, units - 1) * measure.metric_se


def non_inferior(summary: Summary, point: Point, other: Point) -> str:
    """Such as `at most 1.7 points worse (95%)`, or `at least 0.3 points better (95%)`."""
    return worse_at_most(summary.worse_by_at_most(point, other), summary.results.metric.bounds)


def worse_at_most(worse: float, bounds: tuple[float, float]) -> str:
    """The same of a bound with 95% confidence; negative: better by at least so much."""
    if worse >= 0:
        return f"at most {amount(worse, bounds)} worse (95%)"
    return f"at least {amount(-worse, bounds)} better (95%)"


def noise_sentence(summary: Summary) -> str:
    """How far two trainings of one configuration differ, as far as it is known."""
    noise, bounds = summary.noise, summary.results.metric.bounds
    if noise is None:
        return (
            "No configuration was trained with several seeds, so the noise of training is not in these figures "
            "(search.noise_repeats measures it)."
        )
    known = (noise.sd, *noise.interval())
    differ = seeds_differ("Two seeds of one configuration", known, f"from {noise.degrees} repeats", bounds)
    return f"{differ}; it is in all that is said here."


def seeds_differ(who: str, known: tuple[float, float, float], told_by: str, bounds: tuple[float, float]) -> str:
    """How far they do, by a standard deviation and the ends of its interval, to go on after."""
    sd, low, high = known
    if amount(high, bounds) == amount(0.0, bounds):  # by luck less than truly
        return f"{who} differ by no more than the choice of examples explains ({told_by})"
    return (
        f"{who} differ by a standard deviation of {amount(sd, bounds)} ({amounts(low, high, bounds)}, {told_by}), "
        "beyond what the choice of examples explains"
    )


def columns_sentence(summary: Summary) -> str:
    """What the columns of a table of points say, one sentence each."""
    results = summary.results
    metric, facts = results.settings.task.metric_label, results.facts
    said = [
        f"{metric} is measured on the {facts['validation_examples']:,} validation examples, by which the front is "
        "chosen, and the best learning rate of a baseline: of many, the best looks better there than it is."
    ]
    if results.judging:
        said.append(
            f"judged is the same on {len(results.judging.truth):,} examples that nothing was chosen by: what the "
            "choice flattered is gone there, but for the luck of the seed."
        )
    else:
        said.append(
            "There is no judging part, for want of rows: what is said of a choice is an empirical-Bayes estimate, "
            "which draws each measurement towards what points of its size have."
        )
    said.append(
        "SE is the standard error over the choice of examples. P(front) is the probability that no smaller point "
        "is truly as good."
    )
    return " ".join(said)


def nothing_completed(summary: Summary) -> str:
    """Why no trial was measured to the end: the commonest reason, and how many had it."""
    ended = [r for r in summary.results.records if r.state in (State.FAILED, State.REFUSED, State.PRUNED)]
    if not ended:
        return "No trial was measured to the end: none was trained."
    (state, reason), count = Counter((r.state, r.reason) for r in ended).most_common(1)[0]
    which = f"{count:,} of {len(ended):,} trials" if len(ended) > 1 else "the only trial"
    return f"No trial was measured to the end: {which} {state.value}: {printable(reason)}"


def comparisons(summary: Summary) -> list[str]:
    """One sentence each on the paper's setting and the LoRA ladder; none where all may be chance."""
    said: list[str] = []
    if learned_nothing(summary):
        return said
    if summary.paper:
        said.append(_comparison(summary, summary.paper, "the paper's setting"))
    if summary.lora:
        best = max(summary.lora, key=lambda p: (p.metric, -p.cost))
        rank, _, targets = best.name.removeprefix("lora-").partition(AT)
        where = f" on {targets}" if targets else ""
        said.append(_comparison(summary, best, f"the best plain LoRA, rank {rank}{where}"))
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
    """The smallest front point within one standard error of a baseline on the validation part, or better."""
    of = "" if summary.cost_is is Cost.PARAMS else f" {summary.cost_is.unit}"
    what = f"Against {name} ({baseline.record.pyramid}, {baseline.record.size})"
    for point in summary.front:
        if point.metric >= baseline.metric - summary.error(point, baseline):
            if point is baseline or point.cost >= baseline.cost:
                break
            return (
                f"{what}: trial {point.record.number} ({point.record.pyramid}) is "
                f"{non_inferior(summary, point, baseline)}, with {point.record.size}, "
                f"{baseline.cost / point.cost:.1f} times fewer{of}."
            )
    return f"{what}: no smaller point of the front comes within one standard error of it."


def listed(names: Sequence[str], last: str = " and ") -> str:
    """Names in a sentence; where there are many, how many more."""
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} others"]
    return last.join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def _told(point: Point) -> str:
    return f"trial {point.record.number} ({point.record.pyramid}, {point.record.size})"


def _among(summary: Summary) -> str:
    """Of how many it was chosen: the more, the luckier the best of them."""
    return f" It was chosen among {len(summary.candidates)} measured configurations."
