"""The data and figures of the page, without a browser."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects

from msplora_search.design.pyramid import Pyramid
from msplora_search.reporting.html.data import confirmed_points, page_data
from msplora_search.reporting.html.figures import figures
from msplora_search.reporting.html.front_figure import ticks
from msplora_search.reporting.html.labels import lines, plain
from msplora_search.reporting.html.page import in_json, inline, own_script, page, source_hash
from msplora_search.reporting.report import export_commands
from msplora_search.results.records import State
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary, summarise
from msplora_search.text import brief, printable
from tests.example import (
    GOLDEN,
    LAYERS,
    confirmation,
    decided,
    evaluation,
    measured_by,
    record,
    records,
    results,
    split,
)
from tests.reporting.test_report import judged_study

PLAIN = summarise(results())


def export(trial: int) -> str:
    return export_commands(Path("runs/x"), "")(trial)


def data_of(summary: Summary, confirmed: dict[str, Any] | None = None) -> dict[str, Any]:
    return page_data(summary, export, confirmed)


CONFIRMED = confirmed_points(confirmation().to_json())


def by_layer_rank(pyramid: Pyramid) -> float:
    return 100 - 10 * pyramid.groups[0].layer_rank


@pytest.mark.parametrize("summary", [PLAIN, judged_study(30)], ids=["plain", "judged"])
def test_every_figure_of_a_point_is_that_of_the_front_file(summary: Summary) -> None:
    data, told = data_of(summary), summary.to_json()
    paper = [told["baselines"]["paper"]] if told["baselines"]["paper"] else []
    for point in (*told["front"], *told["baselines"]["lora"], *paper):
        shown = data["points"][str(point["trial"])]
        assert {name: shown[name] for name in point} == point
        low, high = shown["interval_95"]
        assert low < point["metric"] < high
    assert data["front"] == [point["trial"] for point in told["front"]]
    assert [n for ladder in data["ladders"] for n in ladder["points"]] == [
        point["trial"] for point in told["baselines"]["lora"]
    ]


@pytest.mark.parametrize("summary", [PLAIN, judged_study(30)], ids=["plain", "judged"])
def test_every_point_has_the_intervals_of_its_own_measures(summary: Summary) -> None:
    shown, found = data_of(summary)["points"], summary.results
    assert set(shown) == {str(point.record.number) for point in summary.points}
    for point in summary.points:
        told = shown[str(point.record.number)]
        assert told["interval_95"] == list(found.validation.interval(point.measure))
        judged = found.judging and point.judged and list(found.judging.interval(point.judged))
        assert told["judged_interval_95"] == judged


def test_every_trial_is_there_with_its_record() -> None:
    shown = data_of(PLAIN)["trials"]
    assert len(shown) == len(records())
    for trial, of in zip(shown, records(), strict=True):
        assert (trial["trial"], trial["state"]) == (of.number, of.state)
        assert trial["pyramid"] == (of.pyramid.to_json() if of.pyramid else None)
        assert [(at["rung"], at["metric"]) for at in trial["curve"]] == [(e.rung, e.metric) for e in of.curve]
        assert (trial["adapter_params"], trial["steps"]) == (of.adapter_params, of.steps)


def test_what_is_drawn_is_what_was_measured() -> None:
    data = data_of(PLAIN, CONFIRMED)
    drawn = {trace["meta"]["legend"]: trace for trace in figures(data)["front"]["data"]}
    front = drawn["front ± standard error"]
    assert list(zip(front["customdata"], front["x"], front["y"], front["error_y"]["array"], strict=True)) == [
        (p.record.number, p.params, p.metric, p.measure.metric_se) for p in PLAIN.front
    ]
    assert drawn["stopped far below"]["customdata"] == [5]
    assert drawn["stopped far below"]["visible"] == "legendonly"
    assert drawn["confirmed front, 95%"]["y"] == [c.mean for c in confirmation().front]
    assert drawn["other complete trial"]["customdata"] == [9]
    cost = figures(data)["cost"]["data"][1]
    assert cost["x"][-1] == PLAIN.cost.steps
    assert cost["y"][-1] == pytest.approx(PLAIN.hypervolume)


@pytest.mark.parametrize("name", ["loss", "pearson"])
def test_the_gain_over_lora_is_drawn_against_the_cost(name: Literal["loss", "pearson"]) -> None:
    """In points where the metric has bounds, in its own units where it has none; above 0 is better."""
    trials = (*records()[:3], record(3, split(1, 0, 0), 90), record(4, split(3, 1, 1), 20))
    summary = summarise(measured_by(name, trials))
    data = data_of(summary)
    told, (band, line) = summary.gain_over_lora, figures(data)["gain"]["data"]
    assert told is not None
    scale, unit = (1, "") if name == "loss" else (100, " (points)")
    assert line["y"][-1] == pytest.approx(scale * told.metric)
    assert line["y"][-1] > 0
    assert line["x"][-1] == summary.cost.steps
    low, high = min(data["gains"]["low"]), max(data["gains"]["high"])
    assert (min(band["y"]), max(band["y"])) == (pytest.approx(scale * low), pytest.approx(scale * high))
    axis = figures(data)["gain"]["layout"]["yaxis"]
    assert axis["title"]["text"] == f"gain in {data['metric']}{unit}"
    assert axis["range"][0] < min(band["y"]) <= max(band["y"]) < axis["range"][1]
    direction = " (larger is better)" if name == "loss" else ""
    assert f"metric {data['metric']}{direction}." in page(summary, data, "")


def test_without_plain_lora_there_is_no_gain_to_draw() -> None:
    assert "gain" not in figures(data_of(summarise(results(records()[3:5]))))


@pytest.mark.parametrize(
    "summary",
    [
        PLAIN,
        judged_study(30),
        summarise(measured_by("loss")),
        summarise(results(())),
        summarise(results(records()[3:5])),
        summarise(decided(lambda p: 80 - 10 * p.groups[0].layer_rank)),
    ],
    ids=["plain", "judged", "loss", "empty", "without baselines", "decided"],
)
def test_figures_are_such_as_plotly_knows(summary: Summary) -> None:
    """Its own Python classes refuse a field or a value that it has not."""
    for name, figure in figures(data_of(summary, CONFIRMED)).items():
        made = graph_objects.Figure(figure)
        assert len(made.data) == len(figure["data"]) > 0, name


def test_what_decides_is_drawn_as_it_is_told() -> None:
    summary = summarise(decided(by_layer_rank))
    told, data = summary.to_json()["importance"], data_of(summary)
    assert [{**share, "name": ""} for share in told] == [{**share, "name": ""} for share in data["importance"]]
    together, alone, *_ = figures(data)["importance"]["data"]
    assert together["x"] == [share["total"] for share in told]
    assert alone["x"] == [share["share"] for share in told][: data["told_apart"]]
    assert alone["y"][0] == "layer rank"
    assert "What decides the accuracy here: the layer rank" in page(summary, data, "")


def test_a_study_without_a_complete_trial_has_a_page() -> None:
    stopped = records()[5]
    for trials in ((), (stopped,), (records()[8],)):
        summary = summarise(results(trials))
        data = data_of(summary)
        assert (data["front"], data["advised"]) == ([], None)
        assert len(figures(data).get("front", {"data": []})["data"]) == (trials == (stopped,))
        assert "No trial was measured to the end" in page(summary, data, "")


def test_a_repeat_belongs_to_what_it_repeats() -> None:
    again = record(20, split(1, 0, 0), 70, seed=7, repeat_of=3)
    data = data_of(summarise(results((*records(), again))))
    assert data["trials"][-1]["point"] == 3
    assert data["trials"][-1]["kind"] == "repeat of trial 3"
    assert data["points"]["3"]["trainings"] == [3, 20]
    assert "20" not in data["points"]


def test_a_number_that_is_none_is_null() -> None:
    odd = replace(evaluation(0.5, 120), loss=math.nan, metric=math.inf)
    data = data_of(
        summarise(results((*records(), record(12, split(4, 4, 2), 0, state=State.PRUNED, curve=(odd,)))))
    )
    told = json.loads(in_json({"page": data, "figures": figures(data)}))
    assert told["page"]["trials"][-1]["curve"][0]["loss"] is None
    assert told["page"]["trials"][-1]["curve"][0]["metric"] is None


def test_a_confirmation_of_version_0_1_is_drawn() -> None:
    told = json.loads((GOLDEN / "older" / "confirm-0.1.json").read_text(encoding="utf-8"))
    points = confirmed_points(told)["points"]
    assert [p["mean"] for p in points] == [p["mean"] for p in told["points"]]
    with pytest.raises(LookupError):
        confirmed_points({"seeds": 1})


def test_the_command_names_the_folder_the_storage_and_the_trial() -> None:
    assert export_commands(Path("runs/my study"), " --storage x")(7) == (
        "msplora-search export 'runs/my study' --storage x --pick trial=7 --to 'runs/my study/recipe'"
    )


class Elements(HTMLParser):
    """Tags of a page, and what stands in its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.data = ""
        self._in_data = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self._in_data = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


def spoilt(text: str) -> tuple[Summary, dict[str, Any]]:
    """The example with `text` as name, model, baseline, target, reason and version."""
    found = PLAIN.results
    settings = found.settings.model_copy(update={"name": text, "model": text})
    plainly = record(10, Pyramid.lora(4, LAYERS, ("query",)), 50, baseline=text)
    odd = replace(plainly, pyramid=Pyramid.lora(4, LAYERS, (text,)))
    failed = record(11, split(1, 0, 0), 0, state=State.FAILED, reason=text, curve=())
    trials = replace(
        found, settings=settings, records=(*records(), odd, failed),
        facts={**found.facts, "versions": {text: text}, "chance_is": text},
    )  # fmt: skip
    best = PLAIN.front[-1]
    point = Point((odd,), 0.5, best.draws, best.told)
    summary = replace(
        PLAIN, results=trials, points=(*PLAIN.points, point), front=(*PLAIN.front, point),
        baselines={**PLAIN.baselines, text: point},
    )  # fmt: skip
    renamed = [{**point, "name": text} for point in CONFIRMED["points"]]
    return summary, data_of(summary, {**CONFIRMED, "points": renamed})


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "--> <!-- -->",
        "\"><b onclick='a'>&lt;",
        "$title ${data} %{y}",
        "\u2028\u202e\x1b[31m",
    ],
)
def test_no_name_becomes_an_element_of_the_page(text: str) -> None:
    named = Elements(page(*spoilt(text), ""))
    assert named.tags == tags_of_a_plain_name()
    assert named.handlers == []
    assert json.loads(named.data)["page"]["trials"][-1]["reason"] == printable(text)


@cache
def tags_of_a_plain_name() -> list[str]:
    return Elements(page(*spoilt("word"), "")).tags


def test_labels_are_no_markup_for_plotly() -> None:
    assert plain("<a href='x'>%{y}</a> &lt;") == "&lt;a href='x'&gt;%&#123;y}&lt;/a&gt; &amp;lt;"
    assert lines("a" * 50, "") == f"{'a' * 44}<br>{'a' * 6}"


@given(st.text(max_size=200))
def test_a_line_of_a_label_is_wrapped_to_its_width(text: str) -> None:
    assert lines(text) == "<br>".join(map(plain, textwrap.wrap(brief(text, 160), 44)))


def test_a_page_allows_its_own_scripts_and_nothing_from_a_network() -> None:
    text = page(PLAIN, data_of(PLAIN), "")
    policy = text.split('Content-Security-Policy" content="')[1].split('"')[0]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert source_hash(inline(own_script())) in policy
    assert policy.count("sha256-") == text.count("<script>") == 2
    for word in ("http", "unsafe-eval", "*", "data: 'unsafe", "connect-src"):
        assert word not in policy
    for attribute in (" src=", "<link", "@import", "url("):
        assert attribute not in text.split('<script type="application/json"')[0]


def test_a_script_cannot_end_its_element() -> None:
    assert inline("a</script>b\r\n<!--") == "a<\\/script>b\n<\\!--"


def test_the_scripts_set_text_only_as_text() -> None:
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in own_script()


def test_ticks_are_few_and_within_what_is_drawn() -> None:
    assert ticks(1_536, 49_152) == [1_000, 2_000, 5_000, 10_000, 20_000, 50_000]
    assert ticks(1_000, 5e7) == [1e3, 1e4, 1e5, 1e6, 1e7]
    assert ticks(9_216, 9_216) == [10_000]
