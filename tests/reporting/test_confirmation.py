from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import image

from msplora_search.errors import InputError
from msplora_search.full import confirm
from msplora_search.full.jobs import OneTraining, Planned
from msplora_search.full.judgement import Tried, judge_found
from msplora_search.reporting import confirmation as reported
from msplora_search.reporting.confirmation import (
    confirmation_lines,
    confirmation_markdown,
    method_sentences,
    plan_line,
    ranking_sentence,
    told_of,
    training_line,
    write_confirmation,
)
from msplora_search.reporting.figures.confirm import confirmation_figure
from msplora_search.reporting.figures.saving import drawing
from msplora_search.reporting.report import write_report
from msplora_search.search.summary import summarise
from tests.example import GOLDEN, JUDGE, confirmation, evaluation, results
from tests.reporting.test_figures import LONG, require_tidy, texts_of

PLAIN = summarise(results())


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "confirm").mkdir()
    write_confirmation(told_of(confirmation()), tmp_path)
    return tmp_path


def test_its_figure_names_every_point_and_cuts_nothing() -> None:
    told = confirmation().to_json()
    with drawing():
        figure = confirmation_figure(told)
        figure.draw_without_rendering()
        require_tidy(figure)
    texts = {text.get_text() for text, _ in texts_of(figure)}
    assert {"3", "4", "9", "r=1", "r=2"} <= texts
    tau, perfect = told["kendall_tau"], told["kendall_tau_of_a_perfect_proxy"]
    assert f"Kendall's tau {tau:.2f},\nof a perfect proxy {perfect:.2f}" in texts


def test_its_figure_is_as_tidy_below_0_and_under_a_long_name() -> None:
    told = confirmation().to_json()
    points = [
        {**p, "mean": p["mean"] - 1.9, "interval_95": [end - 1.9 for end in p["interval_95"]],
         "proxy_metric": 0.1 * p["proxy_metric"] - 1.7}
        for p in told["points"]
    ]  # fmt: skip
    with drawing():
        figure = confirmation_figure({**told, "points": points, "study": LONG, "metric": "negative loss"})
        figure.draw_without_rendering()
        require_tidy(figure)


def test_a_confirmation_is_written_as_data_words_and_plot(output: Path) -> None:
    folder = output / "confirm"
    assert {p.name for p in folder.iterdir()} == {
        "confirm.json",
        "confirm.md",
        "confirm.png",
        "confirm.svg",
        "confirm.pdf",
    }
    assert json.loads((folder / "confirm.json").read_text()) == told_of(confirmation())
    assert image.imread(folder / "confirm.png").shape[0] > 300
    text = (folder / "confirm.md").read_text()
    assert all(f"| {c.point.params:,} | {c.mean:.4f} |" in text for c in confirmation().points)


def test_a_report_looks_where_it_is_written_and_loads_nothing_that_trains() -> None:
    assert confirm.FOLDER == reported.FOLDER
    probe = "import sys, msplora_search.reporting.report; print({'transformers', 'peft'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_report_shows_it_with_a_picture_that_is_there(output: Path) -> None:
    folder = write_report(PLAIN, output)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Confirmed in full" in page
    assert base64.b64encode((output / "confirm" / "confirm.svg").read_bytes()).decode() in page
    assert page.count("<table>") == 4


def test_the_front_of_full_training_stands_out() -> None:
    told = confirmation().to_json()
    table = confirmation_markdown(told, "confirm.svg")[1]
    assert re.findall(r"\*\*(.+?)\*\*", table) == told["front"]


def test_a_confirmation_of_version_0_1_is_still_shown(output: Path) -> None:
    """It has neither adjusted p-values nor bounds, and says so."""
    old = (GOLDEN / "older" / "confirm-0.1.json").read_text(encoding="utf-8")
    (output / "confirm" / "confirm.json").write_text(old, encoding="utf-8")
    text = (write_report(PLAIN, output) / "report.md").read_text(encoding="utf-8")
    assert "| -0.0350, p 0.038 | -0.0088, p 0.257 (lora-1) |" in text
    assert "not adjusted for the 6 comparisons made" in text
    assert "Kendall's tau of proxy and full training is 0.40." in text


def test_what_is_said_against_the_papers_is_a_bound_never_equality(output: Path) -> None:
    text = (output / "confirm" / "confirm.md").read_text(encoding="utf-8")
    lines = confirmation_lines(told_of(confirmation()))
    assert re.search(
        r"against paper: .* at most \d\.\d points worse \(95%\), 32\.0 times fewer parameters", lines[1]
    )
    assert not re.search(r"\bequal\b|cannot be told apart|significan", text + "\n".join(lines))


@pytest.mark.parametrize(
    ("apart", "rightly", "said"),
    [(0, 0, "does not tell the two points apart"), (1, 1, "ordered them rightly"), (1, 0, "the other way round")],
)
def test_of_two_points_no_correlation_is_told(apart: int, rightly: int, said: str) -> None:
    two = judge_found(results(), [(c.point, c.runs) for c in confirmation().points[:2]], JUDGE).to_json()
    assert two["pairs"] == 1
    told = {**two, "kendall_tau": 1.0, "pairs_told_apart": apart, "pairs_ordered_rightly": rightly}
    text = ranking_sentence(told)
    assert said in text
    assert "Kendall" not in text
    assert not [axes.get_title() for axes in confirmation_figure(told).axes if "Kendall" in axes.get_title()]


def test_one_seed_says_that_the_noise_of_training_is_not_in_it() -> None:
    one = [(c.point, c.runs[:1]) for c in confirmation().points]
    said = " ".join(confirmation_lines(told_of(judge_found(results(), one, JUDGE))))
    assert "the noise of training is not in the intervals" in said
    assert "two seeds differ" not in said
    assert "the noise of training is not in" not in " ".join(confirmation_lines(told_of(confirmation())))


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ((1e-3, 2e-3), "better of two, 0.001 and 0.002, on validation rows that nothing else was chosen by; one"),
        ((1e-3, 2e-3, 4e-3), "best of 3, 0.001 to 0.004, on validation rows that nothing else was chosen by."),
    ],
)
def test_the_rates_that_were_tried_are_said(rates: tuple[float, ...], said: str) -> None:
    found = [(c.point, c.runs) for c in confirmation().points]
    tried = tuple(Tried(rate, 0.8 + 0.01 * (rate == 2e-3)) for rate in rates)
    told = judge_found(results(), found, JUDGE, [tried] * len(found)).to_json()
    markdown = confirmation_markdown(told, "confirm.svg")
    assert said in markdown[2]
    assert markdown[1].count("| 0.002 |") == len(found)


def test_a_best_rate_at_the_edge_of_several_is_said() -> None:
    found = [(c.point, c.runs) for c in confirmation().points]
    tried = [(Tried(1e-3, 0.8), Tried(2e-3, 0.8 + 0.01 * (i < 3)), Tried(4e-3, 0.7)) for i in range(len(found))]
    told = judge_found(results(), found, JUDGE, tried).to_json()
    edge = len(found) - 3
    assert f"for {edge} of {len(found)} points it is the lowest or the highest" in " ".join(method_sentences(told))


def test_a_ranking_that_cannot_be_told_is_no_number() -> None:
    same = [(c.point, (evaluation(1.0, 60),)) for c in confirmation().points]
    assert "cannot be told" in ranking_sentence(judge_found(results(), same, JUDGE).to_json())


@pytest.mark.parametrize("text", ["", "[]", '{"front": []}', '{"metric": 3}', "[" * 9_000, "\ufffe"])
def test_a_damaged_confirmation_is_named_with_what_to_do(output: Path, text: str) -> None:
    (output / "confirm" / "confirm.json").write_text(text)
    with pytest.raises(InputError, match=r"confirm.json: is damaged \(.+\); delete it, and let") as caught:
        write_report(PLAIN, output)
    assert "\n" not in str(caught.value)
    assert not (output / "report").exists()
    write_confirmation(told_of(confirmation()), output)
    write_report(PLAIN, output)


def test_runs_without_a_mistake_are_not_said_to_be_certain(tmp_path: Path) -> None:
    perfect = [(c.point, (evaluation(1.0, 0),) * 2) for c in confirmation().points]
    (tmp_path / "confirm").mkdir()
    told = judge_found(results(), perfect, JUDGE)
    assert "0.9904 to 1.0000" in write_confirmation(told_of(told), tmp_path).read_text()


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        (Planned(9, 3, 3, 1, 0, 2), "9 full trainings: 3 points with 3 seeds, 2 at a time"),
        (Planned(1, 1, 1, 1, 0, 1), "1 full training: 1 point with 1 seed"),
        (
            Planned(8, 2, 2, 2, 5, 1),
            "8 full trainings: 2 points with 2 seeds at 2 learning rates; 5 of them done already",
        ),
        (Planned(2, 1, 2, 1, 2, 1), "2 full trainings: 1 point with 2 seeds; all done already"),
    ],
)
def test_what_is_to_be_trained_is_said_first(planned: Planned, said: str) -> None:
    assert plan_line(planned) == said


@pytest.mark.parametrize(
    ("seconds", "left", "said"),
    [
        (None, None, "3 of 9: paper, seed 1002: 0.8100 on the test part (already trained)"),
        (434.0, 2604.0, "3 of 9: paper, seed 1002: 0.8100 on the test part (7 min 14 s); about 43 min 24 s left"),
        (434.0, 0.0, "3 of 9: paper, seed 1002: 0.8100 on the test part (7 min 14 s)"),
    ],
)
def test_each_training_says_how_long_the_others_take(seconds: float | None, left: float | None, said: str) -> None:
    assert training_line(OneTraining("paper", 1002, 0.81, seconds, 3, 9, left=left)) == said
