"""A page that is served, in a real browser: it changes by itself, and the reader stays where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from msplora_search.reporting.html.live import Live
from msplora_search.reporting.html.page import waiting_page
from msplora_search.reporting.live.server import PageServer
from msplora_search.reporting.report import live_page, write_report
from msplora_search.search.summary import summarise
from tests.browser import READY, Visit, chromium
from tests.example import results
from tests.reporting.live.serving import Shown, serving

HOSTILE = "</script><script>fetch('http://a.example')</script><img src=http://a.example/b onerror=alert(1)>"
FOUND = replace(results(), settings=results().settings.model_copy(update={"name": HOSTILE}))
EARLY, LATE = Live("The search goes on: 8 of 10.", "a1"), Live("The search goes on: 9 of 10.", "b2")
LAST = Live("The search has ended: 10 of 10.", "c3", last=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By version, each with a trial more."""
    output, known = tmp_path_factory.mktemp("live"), len(FOUND.records)
    summaries = [summarise(replace(FOUND, records=FOUND.records[: known - left])) for left in (2, 1, 0)]
    lives = (EARLY, LATE, LAST)
    return {live.version: live_page(found, output, "", live) for found, live in zip(summaries, lives, strict=True)}


def rows(page: Page) -> int:
    """Of the table of trials."""
    return page.locator("#table tbody tr").count()


def require_own(visit: Visit, server: PageServer) -> None:
    """Nothing was asked of anybody else, and nothing went wrong."""
    assert visit.complaints == []
    assert all(address.startswith(server.address) for address in visit.requests), visit.requests


def test_the_page_changes_by_itself_and_keeps_the_readers_place(browser: Browser, pages: dict[str, str]) -> None:
    shown = Shown(EARLY, pages["a1"])
    with serving(shown) as server:
        visit = Visit.to(browser, server.address)
        page, count = visit.page, rows(visit.page)
        expect(page.locator("#state")).to_have_text(EARLY.state)
        assert page.locator("body > header h1").inner_text() == HOSTILE
        page.locator("#table th button", has_text="adapter params").click()
        page.locator("#table th button", has_text="adapter params").click()
        page.locator("details summary").last.click()
        page.locator("#front-legend button").first.click()
        page.fill("#search", "complete")
        page.locator("#table tbody tr:visible").first.click()
        pinned = page.locator("#chosen").inner_text()
        assert pinned.endswith(", pinned")
        page.evaluate("scrollTo({ top: 700, behavior: 'instant' })")
        shown.show(LATE, pages["b2"])
        expect(page.locator("#state")).to_have_text(LATE.state, timeout=20_000)
        page.wait_for_selector(READY)
        assert rows(page) == count + 1
        assert page.locator("#chosen").inner_text() == pinned
        assert page.locator("#search").input_value() == "complete"
        assert page.locator("#table th[aria-sort]").get_attribute("aria-sort") == "descending"
        assert page.locator("details").last.get_attribute("open") is not None
        assert page.locator("#front-legend button").first.get_attribute("aria-pressed") == "false"
        page.wait_for_function("Math.abs(scrollY - 700) < 3")
        shown.show(LAST, pages["c3"])
        expect(page.locator("#state")).to_have_text(LAST.state, timeout=20_000)
        asked = len(visit.requests)
        page.wait_for_timeout(1500)
        assert len(visit.requests) == asked  # none follows
        require_own(visit, server)
        page.context.close()


def test_a_page_does_not_go_from_under_who_marks_it_but_the_last_comes_at_once(
    browser: Browser, pages: dict[str, str]
) -> None:
    shown = Shown(EARLY, pages["a1"])
    with serving(shown) as server:
        visit = Visit.to(browser, server.address)
        visit.page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        shown.show(LATE, pages["b2"])
        visit.page.wait_for_timeout(2500)
        assert visit.text("#state") == EARLY.state
        shown.show(LAST, pages["c3"])
        expect(visit.page.locator("#state")).to_have_text(LAST.state, timeout=20_000)
        require_own(visit, server)
        visit.page.context.close()


def test_a_page_without_anything_measured_becomes_one(browser: Browser, pages: dict[str, str]) -> None:
    waiting = Live(HOSTILE, "a0")
    shown = Shown(waiting, waiting_page(waiting, 1))
    with serving(shown) as server:
        visit = Visit.to(browser, server.address, ready="#state")
        assert visit.text("#state") == HOSTILE
        shown.show(EARLY, pages["a1"])
        visit.page.wait_for_selector(READY, timeout=20_000)
        expect(visit.page.locator("#state")).to_have_text(EARLY.state)
        require_own(visit, server)
        visit.page.context.close()


def test_a_page_whose_server_is_gone_stays_and_says_so(browser: Browser, pages: dict[str, str]) -> None:
    with serving(Shown(EARLY, pages["a1"])) as server:
        visit = Visit.to(browser, server.address)
        visit.page.route("**/version*", lambda route: route.abort())  # from the next question on
        visit.page.reload()
        expect(visit.page.locator("#state")).to_contain_text("it is served no more")
        assert rows(visit.page) > 0
        visit.page.context.close()


def test_a_report_on_disk_asks_nobody(browser: Browser, pages: dict[str, str], tmp_path: Path) -> None:
    """Only a page that is served has the script that asks, and may."""
    text = (write_report(summarise(FOUND), tmp_path) / "report.html").read_text(encoding="utf-8")
    for of_live in ("connect-src", "/version", 'id="state"', 'rel="icon"'):
        assert of_live in pages["a1"]
        assert of_live not in text
