"""What decides the metric, in words, in a plot and in front.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from msplora_search import load_front
from msplora_search.reporting.deciding import deciding_section, deciding_sentence
from msplora_search.reporting.figures.all import draw
from msplora_search.reporting.figures.importance import importance_figure
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.report import report_markdown, write_report
from msplora_search.reporting.terminal import print_front
from msplora_search.search.importance import Importance, Share
from msplora_search.search.summary import Summary, summarise
from tests.example import decided, results
from tests.search.test_importance import by_layer_rank

SHARES = (
    Share("layer rank", 0.61, (0.4, 0.78), 0.7),
    Share("rate", 0.2, (0.1, 0.3), 0.3),
    Share("groups", 0.01, (0.0, 0.05), 0.1),
)
FOUND = Importance(SHARES, 2, False, Share("parameters", 0.5, (0.3, 0.7), 0.5), 0.15, 0.005, 36)


def telling(found: Importance | None) -> Summary:
    """A summary of which that is found."""
    summary = summarise(results())
    summary.__dict__["importance"] = found
    return summary


def test_a_sentence_names_what_leads_in_order() -> None:
    assert deciding_sentence(telling(FOUND)) == [
        "What decides the accuracy here: the layer rank (61% of the differences, 40 to 78), then the learning "
        "rate (20%, 10 to 30)."
    ]
    assert "then" not in deciding_sentence(telling(replace(FOUND, ordered=1)))[0]


def test_what_hardly_matters_is_not_named_though_its_place_is_sure() -> None:
    assert "groups" not in deciding_sentence(telling(replace(FOUND, ordered=3)))[0]


def test_two_that_lead_together_are_named_together() -> None:
    assert deciding_sentence(telling(replace(FOUND, ordered=0, pair=True))) == [
        "What decides the accuracy here: the layer rank (61% of the differences, 40 to 78) and the learning rate "
        "(20%, 10 to 30); which of the two more cannot be told."
    ]


def test_a_sentence_says_where_more_lies_in_what_factors_do_together() -> None:
    said = deciding_sentence(telling(replace(FOUND, together=0.7)))[0]
    assert said.endswith("(20%, 10 to 30); what factors do only together explains 70%.")


def test_nothing_is_named_where_nothing_can_be_told_apart() -> None:
    for found, why in (
        (replace(FOUND, ordered=0), "by 36 configurations: with 95%, no factor explains more than all others."),
        (replace(FOUND, chance=0.4), "had the 36 configurations their metrics by chance, some factor would seem"),
    ):
        assert deciding_sentence(telling(found)) == []
        assert why in deciding_section(telling(found), "x.svg")[1]


def test_the_only_factor_is_named_without_a_share() -> None:
    only = replace(FOUND, shares=(Share("boundaries", 1.0, (1.0, 1.0), 1.0),), ordered=1, size=None)
    assert deciding_sentence(telling(only)) == [
        "What decides the accuracy here: the boundaries of groups, all that is searched."
    ]
    assert "Size" not in deciding_section(telling(only), "x.svg")[-1]


def test_a_report_has_a_section_where_enough_was_measured() -> None:
    section = deciding_section(telling(FOUND), "importance.svg")
    assert "| layer rank | 61% | 40 to 78% | 70% |" in section[3]
    assert (
        "What factors do only together explains 15%. Size, which follows from them, explains 50% (30 to 70)."
        in (section[-1])
    )
    assert "## What decides" not in report_markdown(telling(None))
    assert (
        "one factor" in deciding_section(telling(replace(FOUND, shares=(Share("ranks", 1, (1, 1), 1),))), "")[-1]
    )


def test_a_study_in_which_something_decides_says_so_everywhere(tmp_path: Path) -> None:
    summary = summarise(decided(by_layer_rank))
    (said,) = deciding_sentence(summary)
    assert said.startswith("What decides the accuracy here: the layer rank (")
    folder = write_report(summary, tmp_path)
    assert "What decides the accuracy here: the layer rank" in (folder / "report.md").read_text()
    assert 'alt="what decides"' in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "importance.png").stat().st_size > 5_000
    drawn = (folder / "importance.svg").read_text()
    for comment in ("layer rank", "alone, told apart", "95% interval", "quickstart: what decides the accuracy"):
        assert f"<!-- {comment} -->" in drawn
    assert json.loads((folder / "front.json").read_text())["importance"][0]["factor"] == "layer rank"
    assert len(load_front(tmp_path)) == len(summary.front)
    console = Console(width=100_000, record=True, file=(tmp_path / "shown").open("w"))
    print_front(console, summary)
    assert console.export_text().rstrip().endswith(said)
    console.file.close()


def test_the_same_study_gives_the_same_plot(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw(importance_figure, Shown.of(telling(FOUND)), tmp_path / name / "importance")
    assert (tmp_path / "a" / "importance.svg").read_bytes() == (tmp_path / "b" / "importance.svg").read_bytes()


def test_nothing_is_drawn_where_nothing_is_said(tmp_path: Path) -> None:
    draw(importance_figure, Shown.of(telling(None)), tmp_path / "importance")
    assert list(tmp_path.iterdir()) == []
