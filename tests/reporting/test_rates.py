"""What is said of learning rates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.reporting.rates import collapse_sentence, edge_sentence
from msplora_search.reporting.report import report_markdown
from msplora_search.results.records import TrialRecord
from tests.example import EXAMPLES, LAYERS, QV, evaluation, record, split
from tests.reporting.test_against_lora import LADDER, at_rates, study


def test_a_best_rate_at_the_edge_is_said_and_one_within_is_not() -> None:
    one, two, four = (Pyramid.lora(rank, LAYERS, QV) for rank in (1, 2, 4))
    paper = Pyramid.geometric(8, LAYERS)
    lowest, within = at_rates("lora-1", one, (60, 70, 80), 0), at_rates("lora-2", two, (70, 60, 70), 3)
    highest, also = at_rates("lora-4", four, (90, 80, 70), 6), at_rates("paper", paper, (50, 60, 70), 9)
    assert edge_sentence(study(*within)) == []
    assert edge_sentence(study(*LADDER)) == []
    (said,) = edge_sentence(study(*lowest, *within))
    assert said == "The best learning rate of lora-1 is the lowest tried, 0.001: a lower one may do better."
    (said,) = edge_sentence(study(*highest))
    assert said == "The best learning rate of lora-4 is the highest tried, 0.004: a higher one may do better."
    summary = study(*lowest, *within, *highest, *also)
    (said,) = edge_sentence(summary)
    assert said == (
        "The best learning rate of lora-1 and paper is the lowest tried, 0.001, and that of lora-4 the highest, "
        "0.004: rates beyond may do better."
    )
    assert said in report_markdown(summary)


def trained(number: int, of: TrialRecord, *wrongs: int) -> list[TrialRecord]:
    """The same with further seeds, that many examples wrong."""
    return [
        replace(of, number=number + i, seed=1 + i, repeat_of=of.number, curve=(evaluation(1.0, wrong, 31 * i),))
        for i, wrong in enumerate(wrongs)
    ]


def test_a_seed_that_learned_nothing_where_another_did_is_said_with_its_rate() -> None:
    paper = record(0, Pyramid.geometric(8, LAYERS), 40, baseline="paper")
    point = record(3, split(1, 0, 0), 60)
    summary = study(paper, point, *trained(10, paper, 197, 44))
    (said,) = collapse_sentence(summary)
    assert said == (
        "1 of the 3 trainings of paper ended at 0.5075, no better than always the most frequent class (0.5000), "
        "another at 0.9000: a learning rate of 0.002 may be too high."
    )
    assert said in report_markdown(summary)
    (said,) = collapse_sentence(study(paper, point, *trained(10, paper, 197, 201), *trained(20, point, 230)))
    assert said.startswith("2 of the 3 trainings of paper ended at 0.5075, ")
    assert "another at 0.9000, and so with trial 3: a learning rate" in said


@pytest.mark.parametrize(
    ("own", "again"),
    [(40, (44, 60)), (40, (150,)), (EXAMPLES // 2, (197, 203)), (170, (190,)), (40, ())],
    ids=["all learned", "one learned less", "none learned", "hardly differ", "once"],
)
def test_where_every_seed_learned_or_none_nothing_is_said(own: int, again: tuple[int, ...]) -> None:
    paper = record(0, Pyramid.geometric(8, LAYERS), own, baseline="paper")
    assert collapse_sentence(study(paper, record(3, split(1, 0, 0), 60), *trained(10, paper, *again))) == []
