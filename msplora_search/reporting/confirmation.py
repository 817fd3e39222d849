"""What `confirm` leaves: `confirm.json`, its table in words, and its plot; a report shows it too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msplora_search.design.costs import Cost, Costs
from msplora_search.files import damaged, read_json
from msplora_search.reporting.confirmed_costs import latency, latency_sentence, measured_in, served_costs, smaller
from msplora_search.reporting.figures.confirm import FEWEST_RANKED, draw_confirmation
from msplora_search.reporting.folder import write_folder
from msplora_search.reporting.wording import duration, seeds_differ, table, worse_at_most
from msplora_search.results.noise import LEVEL
from msplora_search.text import markdown, several

if TYPE_CHECKING:  # these load all that trains a model, of which a report needs nothing
    from msplora_search.full.jobs import OneTraining, Planned
    from msplora_search.full.judgement import Confirmation

FOLDER = "confirm"
"""In an output folder, as in `full.confirm`."""
JSON, TEXT, PICTURE = "confirm.json", "confirm.md", "confirm.svg"
REMEDY = "delete it, and let `msplora-search confirm` make it anew from the trainings that are done"


def write_confirmation(told: dict[str, Any], output: Path) -> Path:
    """Write `output`/confirm/confirm.json, .md, .png and .svg; the path of the text.

    `told`: as `told_of` gives it. Raises InputError where it cannot.
    """
    folder = output / FOLDER
    title = f"# {markdown(told['study'])}, confirmed"

    def fill(part: Path) -> None:
        draw_confirmation(told, part)
        text = "\n\n".join([title, *confirmation_markdown(told, PICTURE)]) + "\n"
        (part / TEXT).write_text(text, encoding="utf-8")
        (part / JSON).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    write_folder(folder, fill, last=JSON)
    return folder / TEXT


def told_of(confirmation: Confirmation) -> dict[str, Any]:
    """`Confirmation.to_json`, and the signs that the shapes of its points do not fit."""
    from msplora_search.reporting.signs import signs_of

    told = confirmation.to_json()
    for point, confirmed in zip(told["points"], confirmation.points, strict=True):
        point["signs"] = signs_of(confirmed.adapters)
    return told


def plan_line(planned: Planned) -> str:
    """The full trainings of a confirmation before they begin, for a terminal."""
    each = f"with {several(planned.seeds, 'seed')}"
    if planned.rates > 1:
        each += f" at {planned.rates:,} learning rates"
    at_once = f", {planned.at_a_time:,} at a time" if planned.at_a_time > 1 else ""
    done = f"; {planned.done:,} of them done already" if planned.done else ""
    if planned.done == planned.trainings:
        done = "; all done already"
    trainings = several(planned.trainings, "full training")
    return f"{trainings}: {several(planned.points, 'point')} {each}{at_once}{done}"


def training_line(training: OneTraining) -> str:
    """One full training of a confirmation, for a terminal."""
    took = "already trained" if training.seconds is None else duration(training.seconds)
    rate = "" if training.rate is None else f", lr {training.rate:g}"
    rest = f"; about {duration(training.left)} left" if training.left else ""
    return (
        f"{training.done} of {training.of}: {training.name}{rate}, seed {training.seed}: "
        f"{training.metric:.4f} on the test part ({took}){rest}"
    )


Told = TypeVar("Told")


def stored_confirmation(output: Path, tell: Callable[[dict[str, Any]], Told]) -> Told | None:
    """What `tell` makes of the confirmation of `output`; None where it was not confirmed.

    Raises InputError where the confirmation is damaged.
    """
    stored = output / FOLDER / JSON
    if not stored.is_file():
        return None
    told = read_json(stored, REMEDY)
    try:
        return tell(told)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(stored, f"{type(error).__name__}: {error}", REMEDY) from None


def confirmation_section(output: Path, picture: str) -> list[str]:
    """A report's paragraphs on the confirmation of `output`; none where it was not confirmed.

    `picture`: how the report names the plot. Raises InputError where the confirmation is damaged.
    """
    said = stored_confirmation(output, lambda told: confirmation_markdown(told, picture))
    return [] if said is None else ["## Confirmed in full", *said]


def confirmation_markdown(told: dict[str, Any], picture: str) -> list[str]:
    """Paragraphs on what `Confirmation.to_json` gave, now or in version 0.1."""
    metric = markdown(told["metric"])
    sizes = [Cost.PARAMS.column, *(cost.column for cost in served_costs(told))]
    columns = ["point", "ranks g/m/l in depth groups", *sizes, metric, "95% interval", "proxy"]
    rivals = [f"against {name}" for name in ("the paper's pyramid", "LoRA, no smaller")]
    rates = ["lr"] if _rates(told) else []
    timed = ["latency, unmerged"] if measured_in(told) else []
    return [
        f"![confirmed]({picture})",
        table([*columns, *rates, *timed, *rivals], [_row(point, told) for point in told["points"]]),
        f"Bold: the confirmed front. {' '.join(method_sentences(told))}",
        *filter(None, [ranking_sentence(told)]),
        *map(markdown, sign_sentences(told)),
    ]


def confirmation_lines(told: dict[str, Any]) -> list[str]:
    """The findings for a terminal: a line a point, and under it its comparisons; then how they were made."""
    lines = []
    for point in told["points"]:
        lines.append(_headline(point, told))
        lines += [f"    {_against(versus, point, told)}" for versus in point["comparisons"]]
    ranked = filter(None, [ranking_sentence(told)])
    return [*lines, *method_sentences(told), *ranked, *sign_sentences(told)]


def sign_sentences(told: dict[str, Any]) -> list[str]:
    """Where most trainings of a point show that its shape does not fit; none where nothing was looked at."""
    looked = [point for point in told["points"] if point.get("signs") is not None]
    said = [
        f"{point['name']} ({point['pyramid']}): {sign['sign']} in {sign['seen']} of "
        f"{several(sign['of'], 'training')}: {sign['evidence']}; {sign['remedy']}."
        for point in looked
        for sign in point["signs"]
    ]
    return said or ["No adapter shows that its shape does not fit."] * bool(looked)


def method_sentences(told: dict[str, Any]) -> list[str]:
    """How the points were trained and compared, and what is in the figures, one sentence each."""
    seeds, noise = told["seeds"], told.get("training_sd")
    said = [
        f"Each point was trained in full with {seeds} seed{'s' * (seeds > 1)} and judged on the "
        f"{told['test_examples']:,} test examples, which the search never read."
    ]
    if noise:
        low, high = noise["interval_95"]
        told_by = f"pooled over all points from {noise['repeats']} repeats"
        differ = seeds_differ("two seeds", (noise["sd"], low, high), told_by, _bounds(told))
        said.append(f"Intervals are over test examples and seeds: {differ}.")
    elif seeds == 1:
        said.append("With one seed the noise of training is not in the intervals: --seeds 3 brings it in.")
    else:
        said.append("Intervals are over test examples and seeds.")
    return [*said, *_comparisons_sentence(told), *_rates_sentence(told), *latency_sentence(told)]


def ranking_sentence(told: dict[str, Any]) -> str:
    """How well the proxy ranked the points, by the pairs that are known and beside what can be reached."""
    said, pairs, apart = [], told.get("pairs", 0), told.get("pairs_told_apart", 0)
    if len(told["points"]) < FEWEST_RANKED:
        return _pair_sentence(told) if pairs else ""
    if apart:
        said.append(
            f"Of {pairs:,} pairs of points full training tells {apart:,} apart (by Holm's method, at 5%); the "
            f"proxy ordered {told['pairs_ordered_rightly']:,} of these {apart:,} rightly."
        )
    elif pairs:
        said.append(f"Of {pairs:,} pairs of points full training tells none apart (by Holm's method, at 5%).")
    tau, perfect = told["kendall_tau"], told.get("kendall_tau_of_a_perfect_proxy")
    if tau is None:
        said.append("Their order cannot be told: the proxy's metric or the confirmed one is the same for all.")
    else:
        beside = "" if perfect is None else f"; a perfect proxy would reach about {perfect:.2f} at this noise"
        said.append(f"Kendall's tau of proxy and full training is {tau:.2f}{beside}.")
    return " ".join(said)


def _pair_sentence(told: dict[str, Any]) -> str:
    if not told["pairs_told_apart"]:
        return "Full training does not tell the two points apart (at 5%)."
    rightly = "rightly" if told["pairs_ordered_rightly"] else "the other way round"
    return f"Full training tells the two points apart (at 5%); the proxy ordered them {rightly}."


def _comparisons_sentence(told: dict[str, Any]) -> list[str]:
    between = {frozenset((p["name"], c["baseline"])): c for p in told["points"] for c in p["comparisons"]}
    made = list(between.values())
    paired = "Differences are paired example by example; p is two-sided"
    if not made:
        return []
    if any("p_adjusted" not in c for c in made):
        return [f"{paired}, and not adjusted for the {len(made):,} comparisons made."]
    if len(made) == 1:
        return [f"{paired}, of the only comparison made. Intervals and bounds hold with 95% each."]
    claims = sum(c["p_adjusted"] < 1 - LEVEL for c in made)
    aside = ", but for the noise of training" if told["seeds"] == 1 else ""
    return [
        f"{paired} and adjusted by Holm's method for the {len(made):,} comparisons made, and below 0.05 in "
        f"{claims or 'none'} of them: that any such claim is false has a chance of at most 5%{aside}. Intervals "
        "and bounds hold with 95% each."
    ]


def _rates_sentence(told: dict[str, Any]) -> list[str]:
    """How the rates were chosen, and that the lowest or highest of those tried need not be the best there is."""
    if not (rates := _rates(told)):
        return []
    if len(rates) == 2:
        which, edge = f"better of two, {rates[0]:g} and {rates[1]:g}", "; one beyond them may be better still"
    else:
        ends = sum(point["learning_rate"] in (rates[0], rates[-1]) for point in told["points"])
        which = f"best of {len(rates)}, {rates[0]:g} to {rates[-1]:g}"
        edge = f"; for {ends:,} of {len(told['points']):,} points it is the lowest or the highest" if ends else ""
    return [f"The learning rate is the {which}, on validation rows that nothing else was chosen by{edge}."]


def _rates(told: dict[str, Any]) -> list[float]:
    """The learning rates that were tried, rising; none where there was no choice."""
    return sorted({tried["learning_rate"] for point in told["points"] for tried in point.get("rates", ())})


def _bounds(told: dict[str, Any]) -> tuple[float, float]:
    low, high = told["metric_bounds"]
    return -math.inf if low is None else low, math.inf if high is None else high


def _headline(point: dict[str, Any], told: dict[str, Any]) -> str:
    low, high = point["interval_95"]
    mark = " (on the confirmed front)" if point["name"] in told["front"] else ""
    rate = f", lr {point['learning_rate']:g}" if point["rates"] else ""
    size = Cost.PARAMS.told(point["adapter_params"])
    if served := point.get("costs"):
        size = f"{size}, {Costs.from_json(served).served}"
    if took := latency(point):
        size = f"{size}, latency unmerged {took}"
    return (
        f"{point['name']}, {point['pyramid']}, {size}{rate}: "
        f"{told['metric']} {point['mean']:.4f} ({low:.4f} to {high:.4f}), proxy {point['proxy_metric']:.4f}{mark}"
    )


def _against(versus: dict[str, Any], point: dict[str, Any], told: dict[str, Any]) -> str:
    low, high = versus["interval_95"]
    rival = next(p for p in told["points"] if p["name"] == versus["baseline"])
    return (
        f"against {versus['baseline']}: {versus['difference']:+.4f} ({low:+.4f} to {high:+.4f}), "
        f"{worse_at_most(versus['worse_by_at_most'], _bounds(told))}, {smaller(point, rival, told)}, "
        f"adjusted p {_p(versus['p_adjusted'], '= ')}"
    )


def _row(point: dict[str, Any], told: dict[str, Any]) -> list[str]:
    name = f"**{markdown(point['name'])}**" if point["name"] in told["front"] else markdown(point["name"])
    low, high = point["interval_95"]
    versus = {"paper" if c["baseline"] == "paper" else "lora": c for c in point["comparisons"]}
    return [
        name,
        markdown(point["pyramid"]),
        f"{point['adapter_params']:,}",
        *[f"{Costs.from_json(point['costs']).of(cost):,}" for cost in served_costs(told)],
        f"{point['mean']:.4f}",
        f"{low:.4f} to {high:.4f}",
        f"{point['proxy_metric']:.4f}",
        *([f"{point['learning_rate']:g}"] if _rates(told) else []),
        *([latency(point)] if measured_in(told) else []),
        *[_difference(versus.get(rival), rival, told) for rival in ("paper", "lora")],
    ]


def _difference(versus: dict[str, Any] | None, rival: str, told: dict[str, Any]) -> str:
    if versus is None:
        return ""
    name = "" if rival == "paper" else f" ({markdown(versus['baseline'])})"
    if "p_adjusted" not in versus:
        return f"{versus['difference']:+.4f}, p {_p(versus['p_value'])}{name}"
    bound = worse_at_most(versus["worse_by_at_most"], _bounds(told))
    return f"{versus['difference']:+.4f}, {bound}, p {_p(versus['p_adjusted'])}{name}"


def _p(value: float, equals: str = "") -> str:
    return "< 0.001" if value < 0.001 else f"{equals}{value:.3f}"
