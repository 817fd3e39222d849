"""The page in a real browser: what a reader sees, and what it does for mouse and keyboard."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from msplora_search import run_study
from msplora_search.reporting.confirmation import told_of, write_confirmation
from msplora_search.reporting.report import write_report
from msplora_search.results.records import State
from msplora_search.search.results import load_results
from msplora_search.search.summary import Summary, summarise
from msplora_search.settings import StudySettings
from tests.browser import Visit, chromium
from tests.example import confirmation, measured_by, record, records, results, split
from tests.small import study_fields

HOSTILE = (
    "</script><script>fetch('http://a.example')</script><img src=http://a.example/b onerror=alert(1)>"
    "<a href='http://a.example'>x</a><b>%{y}"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Path]:
    """A real study of a two-layer model, with its output folder."""
    folder = tmp_path_factory.mktemp("page")
    fields = study_fields(
        folder,
        search={"trials": 10, "baselines": ["paper", {"lora": [1, 2]}], "noise_repeats": 1},
        proxy={"train_examples": 64, "validation_examples": 100, "epochs": 2},
    )
    output = run_study(StudySettings.model_validate(fields), folder / "out")
    summary = summarise(load_results(output))
    write_report(summary, output)
    return summary, output


@pytest.fixture(scope="module")
def opened(browser: Browser, studied: tuple[Summary, Path]) -> Iterator[Visit]:
    """The study's page, opened once for all tests that leave it as it was."""
    made = Visit.to(browser, studied[1] / "report" / "report.html")
    yield made
    made.page.context.close()


@pytest.fixture
def visit(opened: Visit) -> Iterator[Visit]:
    yield opened
    opened.page.keyboard.press("Escape")
    opened.page.fill("#search", "")
    assert opened.complaints == []
    assert [address[:5] for address in opened.requests] == ["file:"]


def test_the_answer_and_what_is_advised_are_seen_first(visit: Visit, studied: tuple[Summary, Path]) -> None:
    summary, _ = studied
    assert "Take trial" in visit.text("#answer") or "is the whole front" in visit.text("#answer")
    box = visit.page.locator("#answer").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900
    assert f"Trial {summary.front[0].record.number}" in visit.text("#detail") or "advised" in visit.text("#detail")


def test_a_hovered_point_shows_its_pyramid_and_a_clicked_one_its_command(
    visit: Visit, studied: tuple[Summary, Path]
) -> None:
    summary, output = studied
    for point in summary.front:
        number = point.record.number
        x, y = visit.place_of(number, "front")
        visit.page.mouse.move(x - 40, y - 40)
        visit.page.mouse.move(x, y)
        expect(visit.page.locator("#chosen")).to_have_text(f"Trial {number}")
        assert point.record.pyramid is not None
        told = visit.text("#detail")
        assert str(point.record.pyramid) in told
        for group in point.record.pyramid.groups:
            assert f"mid rank {group.mid_rank}, layer rank {group.layer_rank}" in told
        assert f"{point.metric:.4f}" in told
        assert point.judged is not None
        assert f"{point.judged.metric:.4f}" in told
        bars = visit.page.locator("#detail svg.strip").get_attribute("aria-label")
        assert f"global rank {point.record.pyramid.global_rank}" in str(bars)
        visit.page.mouse.click(x, y)
        expect(visit.page.locator("#chosen")).to_have_text(f"Trial {number}, pinned")
        command = shlex.split(visit.text("#command"))
        assert command[:2] + command[3:6] == ["msplora-search", "export", "--pick", f"trial={number}", "--to"]
        assert Path(command[2]).resolve() == output.resolve()
        visit.page.keyboard.press("Escape")
        visit.page.wait_for_timeout(400)  # two clicks within 300 ms are one double click to Plotly


def test_a_header_sorts_by_number_and_says_so(visit: Visit) -> None:
    column = [name.text_content() for name in visit.page.locator("#table th").all()].index("adapter params")
    header = visit.page.locator("#table th").nth(column)
    rows = visit.page.locator(f"#table tbody tr td:nth-child({column + 1})")
    for press, order in ((header.locator("button").click, "ascending"), (None, "descending")):
        if press:
            press()
        else:
            visit.page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == order
        found = [int(text.replace(",", "")) for text in rows.all_inner_texts()]
        assert len(set(found)) > 3
        assert found == sorted(found, reverse=order == "descending")


def test_the_search_leaves_the_rows_that_hold_every_word(visit: Visit) -> None:
    visit.page.fill("#search", "lora COMPLETE")
    shown = [row for row in visit.page.locator("#table tbody tr").all() if row.is_visible()]
    kinds = [row.locator("td").nth(1).inner_text() for row in shown]
    assert set(kinds) == {"lora-1", "lora-2"}
    assert visit.text("#count").startswith(f"{len(kinds)} of ")
    visit.page.fill("#search", "no such trial")
    assert visit.text("#count").startswith("0 of ")


def test_a_keyboard_alone_reaches_and_pins_points_and_rows(
    browser: Browser, studied: tuple[Summary, Path]
) -> None:
    summary, output = studied
    visit = Visit.to(browser, output / "report" / "report.html")
    for _ in range(30):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.id") == "front-figure":
            break
    visit.page.keyboard.press("Home")
    smallest = visit.text("#chosen")
    (of,) = [r for r in summary.results.records if smallest == f"Trial {r.number}"]
    assert of.adapter_params <= min(point.params for point in summary.points)
    assert visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Enter")
    pinned = visit.text("#chosen")
    assert pinned.endswith(", pinned")
    assert pinned != f"{smallest}, pinned"
    visit.page.keyboard.press("Escape")
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.tagName") == "TR":
            break
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    assert visit.text("#chosen") == "Trial 1, pinned"
    assert visit.page.locator("#table tr[aria-selected=true] td").first.inner_text() == "1"
    visit.page.context.close()


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_scrolls_in_one_direction_and_has_its_colours(
    browser: Browser, studied: tuple[Summary, Path], dark: bool
) -> None:
    visit = Visit.to(browser, studied[1] / "report" / "report.html", width=360, dark=dark)
    for details in visit.page.locator("summary").all():
        details.click()
    wide = "document.documentElement.scrollWidth"
    assert visit.page.evaluate(wide) == 360
    drawn = visit.page.locator("#front-figure").bounding_box()
    assert drawn is not None
    assert drawn["x"] >= 0
    assert drawn["x"] + drawn["width"] <= 360
    for turned in (dark, not dark):
        visit.page.emulate_media(color_scheme="dark" if turned else "light")
        ground, ink = (
            ("rgb(18, 23, 28)", "rgb(230, 234, 238)") if turned else ("rgb(255, 255, 255)", "rgb(27, 37, 48)")
        )
        expect(visit.page.locator("body")).to_have_css("background-color", ground)
        expect(visit.page.locator("#front-figure .xtick text").first).to_have_css("fill", ink)
    assert visit.complaints == []
    visit.page.context.close()


def test_names_stay_text_and_the_confirmed_front_comes_and_goes(browser: Browser, tmp_path: Path) -> None:
    found = results()
    failed = record(10, split(1, 0, 0), 0, state=State.FAILED, reason=HOSTILE, curve=())
    settings = found.settings.model_copy(update={"name": HOSTILE, "model": "<b>bold</b>"})
    spoilt = replace(found, settings=settings, records=(*records(), failed))
    (tmp_path / "confirm").mkdir()
    write_confirmation(told_of(confirmation()), tmp_path)
    told = json.loads((tmp_path / "confirm" / "confirm.json").read_text(encoding="utf-8"))
    told["points"][0]["name"] = HOSTILE
    (tmp_path / "confirm" / "confirm.json").write_text(json.dumps(told), encoding="utf-8")
    write_report(summarise(spoilt), tmp_path)
    visit = Visit.to(browser, tmp_path / "report" / "report.html")
    assert visit.text("body > header h1") == HOSTILE
    assert "<b>bold</b>" in visit.text(".about")
    assert HOSTILE in visit.page.locator("#table tbody").inner_text()
    visit.page.mouse.move(*visit.place_of(told["points"][0]["trial"], "confirmed"))
    visit.page.wait_for_selector(".hoverlayer .hovertext text")
    assert "</script>" in str(visit.page.locator(".hoverlayer .hovertext").first.text_content())
    assert visit.page.locator("img[src^=http], a[href^=http], svg a, b").count() == 0
    button = visit.page.locator("#front-legend button", has_text="confirmed front")
    shown = (
        "document.getElementById('front-figure').data"
        ".find((trace) => trace.meta?.legend.startsWith('confirmed front')).visible"
    )
    assert visit.page.evaluate(shown) is True
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert visit.page.evaluate(shown) is False
    assert visit.complaints == []
    assert len(visit.requests) == 1
    visit.page.context.close()


@pytest.mark.parametrize("width", [360, 1400])
def test_a_loss_is_shown_below_0_and_its_gain_over_lora_against_cost(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    found = measured_by("loss", (*records()[:3], record(3, split(1, 0, 0), 90), record(4, split(3, 1, 1), 20)))
    summary = summarise(found)
    write_report(summary, tmp_path)
    visit = Visit.to(browser, tmp_path / "report" / "report.html", width=width)
    assert "metric negative loss (larger is better)" in visit.text(".about")
    ticks = [tick.text_content() or "" for tick in visit.page.locator("#front-figure .ytick text").all()]
    assert len(ticks) > 1
    assert all(tick.startswith("\u2212") for tick in ticks)
    worse, better = summary.front[0], summary.front[-1]
    x, y = visit.place_of(better.record.number, "front")
    assert y < visit.place_of(worse.record.number, "front")[1]
    visit.page.mouse.move(x, y)
    expect(visit.page.locator("#chosen")).to_have_text(f"Trial {better.record.number}")
    assert f"{better.metric:.4f}" in visit.text("#detail")
    assert visit.page.locator("#gain-figure .zerolinelayer path").count() == 1
    visit.page.mouse.move(*visit.end_of("gain"))
    expect(visit.page.locator("#gain-figure .hoverlayer .hovertext")).to_contain_text("gain +")
    assert visit.complaints == []
    assert len(visit.requests) == 1
    visit.page.context.close()


def test_a_study_without_a_complete_trial_is_still_a_page(browser: Browser, tmp_path: Path) -> None:
    write_report(summarise(results(records()[7:9])), tmp_path)
    visit = Visit.to(browser, tmp_path / "report" / "report.html", ready="#table tbody tr")
    assert "No trial was measured to the end" in visit.text("#answer")
    visit.page.locator("#table tbody tr").first.click()
    assert "Only a trial that was measured to the end can be exported" in visit.text("#detail")
    assert visit.complaints == []
    visit.page.context.close()


def test_the_command_is_copied(browser: Browser, studied: tuple[Summary, Path]) -> None:
    visit = Visit.to(browser, studied[1] / "report" / "report.html")
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.page.click("#copy")
    expect(visit.page.locator(".command [role=status]")).to_have_text("copied")
    assert visit.page.evaluate("navigator.clipboard.readText()") == visit.text("#command")
    visit.page.context.close()
