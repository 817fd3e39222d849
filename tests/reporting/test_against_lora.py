"""The front against the ladders of plain LoRA, and the rates of baselines, in words and in front.json."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.reporting.report import report_markdown
from msplora_search.reporting.wording import (
    against_lora,
    columns_sentence,
    comparisons,
    front_columns,
    front_rows,
    point_row,
)
from msplora_search.results.records import TrialRecord
from msplora_search.search.against_lora import LEAST_SHARE
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Summary, summarise
from tests.example import JUDGE, LAYERS, QV, evaluation, record, results, split


def rung(number: int, rank: int, wrong: int, word: str = "", targets: tuple[str, ...] = QV) -> TrialRecord:
    pyramid = Pyramid.lora(rank, LAYERS, targets)
    name = f"lora-{rank}" + (f"@{word}" if word else "")
    return record(number, pyramid, wrong, baseline=name)


LADDER = (rung(0, 1, 80), rung(1, 2, 72), rung(2, 4, 64))


def study(*trials: TrialRecord) -> Summary:
    return summarise(results(trials))


def judged(trial: TrialRecord, wrong: int) -> TrialRecord:
    """With as many mistakes on a judging part."""
    measure = JUDGE.measure(evaluation(1.0, wrong, trial.number).predictions)
    return replace(trial, curve=(*trial.curve[:-1], replace(trial.final, judged=measure)))


def with_judging(*trials: TrialRecord) -> Summary:
    return summarise(replace(results(trials), judging=JUDGE))


def test_a_front_that_reaches_the_same_at_half_the_size_has_the_ratio_one_half() -> None:
    halves = [record(10 + i, split(*ranks), wrong) for i, (ranks, wrong) in enumerate(
        [((4, 0, 0), 80), ((4, 0, 1), 64)])]  # fmt: skip
    summary = study(*LADDER, *halves)
    gain, ratio = summary.gain_over_lora, summary.size_ratio
    assert gain is not None
    assert ratio is not None
    assert gain.sizes == (9_216, 36_864)
    assert gain.interval[0] < gain.metric < gain.interval[1]
    assert gain.metric > 0
    assert ratio.ratio < 1
    assert LEAST_SHARE <= ratio.share <= 1
    (said,) = against_lora(summary)
    assert re.fullmatch(
        r"Over 9,216 to 36,864 parameters the front is \d\.\d points better than plain LoRA of equal size "
        r"\(95%: [-+]\d\.\d to \+\d\.\d\), and needs 0\.\d+ times its parameters for an equal accuracy "
        r"\(0\.\d+ to \d\.\d+(, if they reach the same: \d\d%)?\)\.",
        said,
    )
    told = summary.to_json()
    assert told["gain_over_lora"] == {
        "metric": gain.metric, "interval_95": list(gain.interval), "sizes": [9_216, 36_864],
    }  # fmt: skip
    assert set(told["size_ratio"]) == {"ratio", "interval_95", "share_of_draws"}
    assert report_markdown(summary).index(said[:40]) < report_markdown(summary).index("Take trial")


def test_a_ladder_that_is_the_front_gains_nothing() -> None:
    summary = study(*LADDER)
    gain, ratio = summary.gain_over_lora, summary.size_ratio
    assert gain is not None
    assert (gain.metric, gain.interval) == (0.0, (0.0, 0.0))
    assert ratio is not None
    assert ratio.ratio == pytest.approx(1)
    assert "differs from plain LoRA of equal size by 0.0 points (95%: +0.0 to +0.0)" in against_lora(summary)[0]


def test_the_luck_of_the_chosen_is_not_told() -> None:
    """Twenty configurations as good as the ladder; the luckiest is two points better where it was chosen."""
    lucky = [judged(record(10 + i, split(2 + i, 0, 1), 80 - (8 if i == 7 else i % 5)), 80) for i in range(20)]
    ladder = [judged(rung(i, rank, 80), 80) for i, rank in enumerate((1, 2, 4))]
    summary = with_judging(*ladder, *lucky)
    gain = summary.gain_over_lora
    assert gain is not None
    measured = max(point.metric for point in summary.front) - 0.8
    assert measured == pytest.approx(0.02)
    assert gain.metric < measured / 2
    assert gain.interval[0] < 0 < gain.interval[1]


def test_plain_lora_that_the_search_found_is_the_fronts_and_no_ladder() -> None:
    found = record(5, Pyramid.lora(1, LAYERS, QV), 40, learning_rate=4e-3)
    summary = study(*LADDER, found)
    assert [point.name for point in summary.lora] == ["lora-1", "lora-2", "lora-4"]
    gain = summary.gain_over_lora
    assert gain is not None
    assert gain.metric > 0.03
    alone = study(found, record(6, split(1, 0, 0), 60))
    assert (alone.gain_over_lora, alone.size_ratio, against_lora(alone)) == (None, None, [])
    assert alone.to_json()["gain_over_lora"] is None


def test_what_cannot_be_told_is_not() -> None:
    summary = study(*LADDER, record(5, split(1, 0, 0), 10))
    assert summary.size_ratio is None
    assert summary.to_json()["size_ratio"] is None
    assert against_lora(summary)[0].endswith(
        "; what size it needs for an equal accuracy cannot be told, as they hardly reach the same."
    )


def test_a_ladder_counts_as_far_as_parameters_are_allowed() -> None:
    base = results((*LADDER, record(5, split(1, 0, 0), 82)))
    limited = base.settings.search.model_copy(update={"max_params": 20_000})
    few = summarise(replace(base, settings=base.settings.model_copy(update={"search": limited})))
    assert few.gain_over_lora is not None
    assert few.gain_over_lora.sizes == (9_216, 18_432)
    none = base.settings.search.model_copy(update={"max_params": 2_000})
    assert summarise(_with(base, none)).gain_over_lora is None


def _with(base: StudyResults, search: object) -> StudyResults:
    return replace(base, settings=base.settings.model_copy(update={"search": search}))


KEY = (rung(3, 1, 50, "key", ("key",)), rung(4, 2, 48, "key", ("key",)))


def test_several_ladders_are_one_envelope_and_are_named() -> None:
    trials = (*LADDER, *KEY, record(5, split(1, 0, 0), 70))
    summary = study(*trials)
    assert {word: [p.name for p in points] for word, points in summary.ladders.items()} == {
        "query+value": ["lora-1", "lora-2", "lora-4"], "key": ["lora-1@key", "lora-2@key"],
    }  # fmt: skip
    assert [point["baseline"] for point in summary.to_json()["baselines"]["lora"]] == [
        "lora-1@key", "lora-1", "lora-2@key", "lora-2", "lora-4",
    ]  # fmt: skip
    one, both = study(*LADDER, trials[-1]).gain_over_lora, summary.gain_over_lora
    assert one is not None
    assert both is not None
    assert both.metric < one.metric
    assert "from the best of 2 ladders of plain LoRA of equal size" in against_lora(summary)[0]
    assert comparisons(summary)[0].startswith("Against the best plain LoRA, rank 2 on key (0/0/2")
    text = report_markdown(summary)
    assert "names without @ are of query+value." in text
    assert "3 (lora-1\\@key)" in text


def test_a_table_says_the_targets_where_there_is_a_choice() -> None:
    odd = replace(record(5, split(1, 0, 0), 40), pyramid=Pyramid.from_split((1, 0, 0), (0, LAYERS), ("a*b",)))
    summary = study(*LADDER, *KEY, odd)
    assert "targets" not in front_columns(summary)
    space = summary.results.settings.space.model_copy(update={"targets": (QV, ("key",), ("a*b",))})
    settings = summary.results.settings.model_copy(update={"space": space})
    chosen = replace(summary, results=replace(summary.results, settings=settings))
    assert front_columns(chosen)[3] == "targets"
    assert {row[1]: row[3] for row in front_rows(chosen)} == {"1/0/0": "a*b"}
    assert point_row(chosen, chosen.lora[0])[3] == "key"
    assert all(len(row) == len(front_columns(chosen)) for row in front_rows(chosen))
    assert "| a\\*b |" in report_markdown(chosen)


def at_rates(name: str, pyramid: Pyramid, wrongs: tuple[int, ...], first: int) -> list[TrialRecord]:
    rates = (1e-3, 2e-3, 4e-3)
    return [
        record(first + i, pyramid, wrong, baseline=name, learning_rate=rate)
        for i, (wrong, rate) in enumerate(zip(wrongs, rates, strict=False))
    ]


def test_the_best_rate_is_chosen_on_the_validation_part_and_shown_on_the_judging_part() -> None:
    """The rate that is best where it was chosen is the worst where it was not."""
    rates = at_rates("lora-1", Pyramid.lora(1, LAYERS, QV), (60, 50, 70), 0)
    summary = with_judging(*(judged(trial, wrong) for trial, wrong in zip(rates, (40, 90, 40), strict=True)))
    best = summary.baselines["lora-1"]
    assert best.record.learning_rate == 2e-3
    assert point_row(summary, best)[3:7:2] == ("0.8750", "0.7750")
    told = summary.to_json()["baselines"]["lora"]
    assert [(p["metric"], p["metric_judged"]) for p in told] == [(0.875, 0.775)]
    assert "by which the front is chosen, and the best learning rate of a baseline" in columns_sentence(summary)
    assert "of which the best by the validation part is shown" in report_markdown(summary)
