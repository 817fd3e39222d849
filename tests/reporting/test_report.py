from __future__ import annotations

import base64
import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from rich.console import Console

from msplora_search import load_front
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.reporting.figures.all import draw
from msplora_search.reporting.figures.front import front_figure
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import Width
from msplora_search.reporting.report import report_markdown, trials_csv, write_report
from msplora_search.reporting.terminal import search_display, seconds_left
from msplora_search.reporting.wording import (
    columns_sentence,
    comparisons,
    duration,
    front_columns,
    front_rows,
    noise_sentence,
    verdict,
)
from msplora_search.results.records import TrialRecord
from msplora_search.search.events import SearchEnded, SearchStarted, TrialEnded, TrialMeasured, TrialStarted
from msplora_search.search.summary import Summary, summarise
from msplora_search.settings import load_study
from tests.example import GOLDEN, JUDGE, LAYERS, evaluation, golden_texts, record, records, results, split
from tests.search.test_proposal import SPACE

KINDS = ("png", "svg")


@pytest.mark.parametrize("name", sorted(golden_texts()))
def test_formats_are_as_they_were(name: str) -> None:
    """Other programs read these: a change is made by scripts/remake_golden.py, and on purpose."""
    assert golden_texts()[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_front_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    summary = summarise(results())
    write_report(summary, tmp_path)
    for path in (tmp_path, tmp_path / "report" / "front.json"):
        read = load_front(path)
        assert [(p.trial, p.metric, p.adapter_params, p.pyramid) for p in read] == [
            (p.record.number, p.metric, p.params, p.record.pyramid) for p in summary.front
        ]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"front": [{"trial": 1}]}', '{"front": 3}'])
def test_another_file_is_no_front(tmp_path: Path, text: str) -> None:
    (tmp_path / "front.json").write_text(text)
    with pytest.raises(InputError, match=r"is no front.json of this program"):
        load_front(tmp_path / "front.json")
    with pytest.raises(InputError, match="give the output folder of a finished run"):
        load_front(tmp_path)


def test_a_report_has_every_file_and_its_page_holds_the_pictures(tmp_path: Path) -> None:
    folder = write_report(summarise(results()), tmp_path)
    names = {p.name for p in folder.iterdir()}
    pictures = {f"{name}.{kind}" for name in ("front", "groups", "ranks", "curves", "gain") for kind in KINDS}
    tables = {f"front.{kind}" for kind in ("csv", "md", "tex")}
    others = {"report.md", "report.html", "front.json", "trials.csv", "hypervolume.png"}
    assert names == {*pictures, *tables, *others}
    page = (folder / "report.html").read_text(encoding="utf-8")
    kept = re.findall(r'<img src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert [kind for kind, _ in kept] == ["svg+xml"] * 5
    assert base64.b64decode(kept[0][1]) == (folder / "front.svg").read_bytes()
    assert page.count("<table>") == 3
    for name in ("front.png", "hypervolume.png"):
        pixels = image.imread(folder / name)
        assert pixels.shape[0] > 400
        assert pixels[..., :3].std() > 0.05


def test_the_same_study_gives_the_same_pictures(tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        folder = write_report(summarise(results()), tmp_path)
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert {name for name in files[0] if files[0][name] != files[1].get(name)} == set()


def test_a_plot_names_baselines_axes_and_groups(tmp_path: Path) -> None:
    write_report(summarise(results()), tmp_path)
    drawn = (tmp_path / "report" / "front.svg").read_text()
    for comment in (
        "adapter parameters (log scale)",
        "accuracy",
        "paper's pyramid",
        "stopped early (metric when stopped)",
        "all trials",
    ):
        assert f"<!-- {comment} -->" in drawn


def test_a_plot_has_a_line_a_ladder_and_names_them_where_there_are_several(tmp_path: Path) -> None:
    key = replace(records()[1], number=20, baseline="lora-1@key", pyramid=Pyramid.lora(1, LAYERS, ("key",)))
    for trials, there, missing in (
        (records(), ["plain LoRA (r: rank)"], ["plain LoRA on query+value (r: rank)"]),
        (
            (*records(), key),
            [f"plain LoRA on {w} (r: rank)" for w in ("query+value", "key")],
            ["plain LoRA (r: rank)"],
        ),
    ):
        draw(front_figure, Shown.of(summarise(results(trials))), tmp_path / "front", (".svg",))
        drawn = (tmp_path / "front.svg").read_text()
        assert all(f"<!-- {label} -->" in drawn for label in there)
        assert not any(f"<!-- {label} -->" in drawn for label in missing)


def test_a_plot_shows_the_judging_part_where_there_is_one() -> None:
    judged, plain = (
        front_figure(Shown.of(s), Width.TWO_COLUMNS) for s in (judged_study(60), summarise(results()))
    )
    legends = [[text.get_text() for text in of.legends[0].get_texts()] for of in (judged, plain)]
    assert ["the same on the judging part" in legend for legend in legends] == [True, False]
    axes = judged.axes[0]
    hollow = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [list(values) for values in hollow if len(values)] == [[0.675, 0.725]]
    low, high = axes.get_ylim()
    assert low < 0.675
    assert high > 0.725


def test_a_study_without_results_still_has_a_report(tmp_path: Path) -> None:
    summary = summarise(results(()))
    text = report_markdown(summary)
    assert "No trial was measured to the end" in text
    assert "(none)" in text
    write_report(summary, tmp_path)
    assert json.loads((tmp_path / "report" / "front.json").read_text())["front"] == []


def test_the_table_of_trials_has_a_row_each(tmp_path: Path) -> None:
    rows = list(csv.DictReader(golden_texts()["trials.csv"].splitlines()))
    assert [row["state"] for row in rows] == [r.state.value for r in records()]
    assert rows[4]["curve"].split()[-1] == rows[4]["metric"]


def test_the_table_of_trials_tells_the_scaling_where_it_is_not_standard() -> None:
    louder = Pyramid.from_split((4, 0, 0), (0, 6), ("query", "value"), scaling="rank-stabilised")
    text = trials_csv((record(0, split(1, 0, 0), 60), record(1, louder, 60), record(2, None, 0, curve=())))
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["scaling"] for row in rows] == ["standard", "rank-stabilised", ""]
    assert list(rows[0])[5:7] == ["alpha", "scaling"]
    assert "scaling" not in next(csv.reader(golden_texts()["trials.csv"].splitlines()))


def test_a_report_says_that_levels_are_scaled_by_the_root_of_their_rank() -> None:
    said = "A level of rank r is scaled by alpha / sqrt(r), in the baselines too."
    for scaling, tells in (("standard", False), ("rank-stabilised", True)):
        settings = load_study("quickstart", [f"space.scaling={scaling}"])
        assert (said in report_markdown(summarise(replace(results(), settings=settings)))) == tells


def test_what_is_advised_is_said_with_what_it_costs_at_most() -> None:
    close = (record(0, split(1, 0, 0), 61), record(200, split(2, 1, 1), 60))
    said = verdict(summarise(results(close)))
    assert re.match(
        r"Take trial 0 \(1/0/0, 1,536 parameters\): at most \d\.\d points worse \(95%\) than the best, trial 200 "
        r"\(13,824 parameters\), with 9\.0 times fewer parameters\. It was chosen among 2 measured",
        said,
    )
    far = (record(0, split(1, 0, 0), 90), record(1, split(2, 1, 1), 60))
    assert "the best: no smaller point is within one standard error" in verdict(summarise(results(far)))


def test_a_front_of_one_point_is_compared_with_no_other() -> None:
    alone = (record(0, split(1, 0, 0), 60), record(1, split(4, 0, 0), 80))
    assert "is the whole front: of what may be chosen, nothing is better" in verdict(summarise(results(alone)))


def test_comparisons_name_the_smallest_point_that_is_no_worse() -> None:
    paper = record(0, split(8, 4, 2, at=(0, 2, 4, 6)), 66, baseline="paper")
    said = comparisons(summarise(results((paper, record(1, split(1, 0, 0), 66)))))
    assert re.fullmatch(
        r"Against the paper's setting \(8/4/2 in 0:2 2:4 4:6, 49,152 parameters\): trial 1 \(1/0/0\) is at most "
        r"[01]\.\d points worse \(95%\), with 1,536 parameters, 32\.0 times fewer\.",
        said[0],
    )
    worse = comparisons(summarise(results((paper, record(1, split(1, 0, 0), 150)))))
    assert "no smaller point of the front comes within one standard error" in worse[0]


def test_a_bound_is_wider_where_trainings_have_noise() -> None:
    """Repeats of the paper's pyramid that scatter widely, and such as do not."""
    bounds = []
    for wrongs in ((66, 66, 66), (46, 66, 86)):
        paper = [
            record(i, split(8, 4, 2, at=(0, 2, 4, 6)), wrong, baseline="paper") for i, wrong in enumerate(wrongs)
        ]
        summary = summarise(results((*paper, record(3, split(1, 0, 0), 66))))
        assert summary.noise is not None
        assert f"from {summary.noise.degrees} repeats" in noise_sentence(summary)
        assert summary.paper is not None
        assert len(summary.paper.trainings) == 3
        bounds.append(summary.worse_by_at_most(summary.front[0], summary.paper))
    assert bounds[1] > 2 * bounds[0]
    assert "search.noise_repeats measures it" in noise_sentence(summarise(results()))


def judged_study(shift: int) -> Summary:
    """A study with a judging part, on which every trial makes `shift` mistakes more."""

    def with_judging(trial: TrialRecord, wrong: int) -> TrialRecord:
        judged = JUDGE.measure(evaluation(1.0, wrong + shift, trial.number).predictions)
        return replace(trial, curve=(*trial.curve[:-1], replace(trial.final, judged=judged)))

    trials = [(record(0, split(1, 0, 0), 70), 70), (record(1, split(2, 1, 1), 50), 50)]
    return summarise(replace(results(tuple(with_judging(*trial) for trial in trials)), judging=JUDGE))


def test_the_judging_part_has_a_column_and_a_sentence_and_chooses_nothing() -> None:
    summary = judged_study(30)
    assert front_columns(summary)[3:7] == ("accuracy", "± SE", "judged", "± SE")
    assert [row[3::2][:2] for row in front_rows(summary)] == [("0.8250", "0.7500"), ("0.8750", "0.8000")]
    assert "judged is the same on 400 examples that nothing was chosen by" in columns_sentence(summary)
    point = summary.to_json()["front"][1]
    assert (point["metric_judged"], point["seeds"]) == (0.8, 1)
    plain = summarise(replace(summary.results, judging=None))
    assert [p.front_probability for p in plain.front] == [p.front_probability for p in summary.front]
    assert "empirical-Bayes estimate" in columns_sentence(plain)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7_800, "2 h 10 min")]
)
def test_durations_are_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_time_left_is_by_the_mean_of_what_is_done() -> None:
    done = [record(i, split(1, 0, 0), 60, seconds=10.0, baseline="paper") for i in range(2)]
    assert seconds_left([], 3, 4) is None
    assert seconds_left(done, 3, 4) == pytest.approx(50.0)
    assert seconds_left([*done, *[record(i, split(1, 0, 0), 60, seconds=5.0) for i in range(4)]], 2, 4) == 0.0


def events() -> list[object]:
    started = SearchStarted(SPACE, SPACE.size, 3, 7, 0, 120, (), ("a note",))
    told: list[object] = [started]
    for trial in records():
        told += [TrialStarted(trial), TrialMeasured(trial), TrialEnded(trial)]
    return [*told, SearchEnded("7 proposals trained")]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_search_is_shown_on_terminals_and_in_pipes(terminal: bool) -> None:
    console = Console(force_terminal=terminal, width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with search_display(console) as listen:
        for event in events():
            listen(event)  # type: ignore[arg-type]
    text = console.export_text()
    console.file.close()
    for said in (
        "a note",
        "up to 120 steps each",
        "trial 0 paper 8/4/2 in 0:2 2:4 4:6 lr 0.002, 49,152 parameters: 0.8350 ± 0.0186",
        "pruned at 0.7000: 0.0500 below the envelope",
        "repeats trial 4, complete; not trained again",
        "failed: DivergedError",
        "refused: every rank is 0",
        "search ended: 7 proposals trained",
        *([] if terminal else ["[6/10] trial 6 proposal", "[7/10] trial 7 proposal", "[8/10] trial 9 proposal"]),
    ):
        assert said in text.replace("\n", " ").replace("  ", " "), said
