"""Texts from studies, data, models and storages in what a report writes: shown as they are, and nothing more."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import image

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.reporting.confirmation import confirmation_markdown, told_of, write_confirmation
from msplora_search.reporting.figures.all import FIGURES, draw
from msplora_search.reporting.figures.front import front_figure
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.html.text import rendered
from msplora_search.reporting.report import CONFIRMED as PLOT
from msplora_search.reporting.report import PICTURES, report_markdown, trials_csv, write_report
from msplora_search.results.records import State
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary, summarise
from msplora_search.text import printable
from tests.example import confirmation, record, records, results, split
from tests.test_text import HOSTILE

TAGS = {
    "h1", "h2", "p", "code", "img", "strong", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
THERE = {name: name for name in (*PICTURES, PLOT)}
foreign = st.text(min_size=1) | st.sampled_from(HOSTILE).filter(bool)


@dataclass
class Read(HTMLParser):
    """What a browser finds in a page."""

    tags: set[str] = field(default_factory=set)
    addresses: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value or "")
            elif tag not in ("meta", "html") and name != "alt":
                self.odd.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


PLAIN = summarise(results())


def spoilt(text: str) -> Summary:
    """The example, with `text` wherever it can come from outside."""
    found = PLAIN.results
    task = found.settings.task
    data = task.dataset.model_copy(update={"path": text})
    fields = {"model": text, "task": task.model_copy(update={"dataset": data})}
    told = {"note": text, "precision": text, "chance_is": text, "versions": {text: text, "torch": text}}
    odd = replace(
        record(10, Pyramid.lora(4, 6, ("query",)), 50, baseline=text),
        pyramid=Pyramid.lora(4, 6, (text[:255] or "q",)),
    )
    failed = record(11, split(1, 0, 0), 0, state=State.FAILED, reason=text, curve=())
    trials = replace(
        found,
        settings=found.settings.model_copy(update=fields),
        facts={**found.facts, **told},
        records=(*records(), odd, failed),
    )
    best = PLAIN.front[-1]
    point = Point((odd,), 0.5, best.draws, best.told)
    return replace(PLAIN, results=trials, front=(*PLAIN.front, point), baselines={**PLAIN.baselines, text: point})


def read(text: str) -> Read:
    reader = Read()
    reader.feed(text)
    reader.close()
    return reader


@pytest.mark.parametrize("text", [text for text in HOSTILE if text])
def test_a_page_holds_nothing_but_our_tags_and_pictures(text: str) -> None:
    found = read(rendered(report_markdown(spoilt(text)), THERE))
    assert found.tags <= TAGS
    assert found.odd == []
    assert found.addresses == ["front.svg", "groups.svg", "ranks.svg", "curves.svg", "gain.svg"]
    shown = " ".join(printable(text).split())
    assert " ".join(found.text.split()).count(shown) >= 8


@settings(max_examples=30)
@given(foreign)
def test_markdown_of_a_report_has_the_same_shape_whatever_the_names(text: str) -> None:
    """As many paragraphs, headings, cells and pictures as with a plain word."""
    found, plain = (rendered(report_markdown(spoilt(t)), THERE) for t in (text, "word"))
    for tag in ("<p>", "<h1>", "<h2>", "<td>", "<th>", "<code>", "<img ", "<table>"):
        assert found.count(tag) == plain.count(tag), tag


CONFIRMED = confirmation().to_json()


@given(foreign)
def test_names_in_a_confirmation_are_text(text: str) -> None:
    told = CONFIRMED
    spoilt: dict[str, Any] = {**told, "metric": text, "front": [text]}
    spoilt["points"] = [{**point, "name": text, "pyramid": text} for point in told["points"]]
    found = read(rendered("\n\n".join(confirmation_markdown(spoilt, PLOT)), THERE))
    assert found.tags <= TAGS
    assert found.addresses == [PLOT]


def test_a_text_has_no_link_and_no_picture_but_ours() -> None:
    text = "![x](http://a.example/b.png) ![y](front.svg) [z](http://a.example) <https://a.example>\n\n[r]: //a"
    assert read(rendered(text, THERE)).addresses == ["front.svg"]


@pytest.mark.parametrize("text", ["$\\frac{1", "a $x$ b", "--> <b>&", "\x1b[31m\n", "\udcff", "x" * 3_000, "模型"])
def test_plots_take_any_name(tmp_path: Path, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = Shown.of(spoilt(text))
        for name, make in FIGURES.items():
            draw(make, shown, tmp_path / name, (".svg",))
        draw(front_figure, shown, tmp_path / "front", (".png", ".pdf"))
    for name in ("front", "groups", "ranks", "curves", "gain"):
        ET.parse(tmp_path / f"{name}.svg")
    assert image.imread(tmp_path / "front.png").shape[1] == 2100
    assert (tmp_path / "front.pdf").read_bytes().startswith(b"%PDF-")


def drawn_bars(folder: Path, summary: Summary) -> Iterator[float]:
    """Ends of the error bars of metrics, as matplotlib was given them."""
    from matplotlib.axes import Axes

    told: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        plain = Axes.errorbar

        def listen(self: Axes, x: Any, y: Any, **how: Any) -> Any:
            told.append((y, how["yerr"]))
            return plain(self, x, y, **how)

        patch.setattr(Axes, "errorbar", listen)
        draw(front_figure, Shown.of(summary), folder / "front", (".png",))
    for metrics, (below, above) in told:
        for metric, down, up in zip(metrics, below, above, strict=True):
            yield from (metric - down, metric + up)


def test_no_error_bar_leaves_the_range_of_the_metric(tmp_path: Path) -> None:
    best = replace(PLAIN.front[-1].record.final, metric=0.99, metric_se=0.05)
    worst = replace(best, metric=0.01)
    trials = (record(0, split(1, 0, 0), 0, curve=(worst,)), record(1, split(2, 1, 1), 0, curve=(best,)))
    ends = list(drawn_bars(tmp_path, summarise(results(trials))))
    assert ends == pytest.approx([0.0, 0.06, 0.94, 1.0])


@pytest.mark.parametrize("text", HOSTILE)
def test_the_table_of_trials_holds_no_formula_and_a_line_a_trial(text: str) -> None:
    written = trials_csv(spoilt(text).results.records)
    rows = list(csv.DictReader(written.splitlines()))
    assert len(rows) == len(written.splitlines()) - 1 == 12
    said = printable(text)
    assert rows[11]["reason"] == (f"'{said}" if said[:1] in ("=", "+", "-", "@") and said else said)
    for row in rows:
        assert all(
            row[name][:1] not in tuple("=+-@\t\r") or row[name] == "" for name in ("reason", "targets", "baseline")
        )


def test_a_report_replaces_links_to_files_and_refuses_one_to_a_folder(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("mine")
    folder = tmp_path / "out" / "report"
    folder.mkdir(parents=True)
    (folder / "report.md").symlink_to(letter)
    (folder / "notes.txt").write_text("mine too")
    write_report(PLAIN, tmp_path / "out")
    assert letter.read_text() == "mine"
    assert not (folder / "report.md").is_symlink()
    assert (folder / "notes.txt").read_text() == "mine too"
    (tmp_path / "other").mkdir()
    (tmp_path / "private").mkdir()
    for name in ("report", "confirm"):
        (tmp_path / "other" / name).symlink_to(tmp_path / "private")
    with pytest.raises(InputError, match=r"report: is a link to another folder"):
        write_report(PLAIN, tmp_path / "other")
    with pytest.raises(InputError, match=r"confirm: is a link to another folder"):
        write_confirmation(told_of(confirmation()), tmp_path / "other")
    assert not list((tmp_path / "private").iterdir())
