"""A real browser for tests: Chromium as the system has it, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers import missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
READY = "#front-figure .main-svg"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test where there is none; fails it where the whole suite must run."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        missing(f"there is no {' or '.join(NAMES)}; scripts/setup_servers installs one")
    with sync_playwright() as playwright:
        # root may not have Chromium's sandbox; the pages are our own
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, and what it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def to(
        cls, browser: Browser, place: Path | str, width: int = 1400, dark: bool = False, ready: str = READY
    ) -> Visit:
        """Open a file as from a disk, or an address, and wait until it is drawn."""
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        visit = cls(context.new_page())
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.complaints.append(message.text))
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.goto(place if isinstance(place, str) else place.as_uri())
        visit.page.wait_for_selector(ready)
        return visit

    def place_of(self, trial: int, role: str) -> tuple[float, float]:
        """Where a point of the front's figure stands on the screen, to which it is scrolled."""
        self.page.evaluate(
            "document.getElementById('front').scrollIntoView({behavior: 'instant', block: 'start'})"
        )
        found = self.page.evaluate(
            """([trial, role]) => {
              const figure = document.getElementById("front-figure"), box = figure.getBoundingClientRect();
              const trace = figure.data.find((of) => of.meta?.role === role && of.customdata.includes(trial));
              const i = trace.customdata.indexOf(trial), { xaxis: x, yaxis: y } = figure._fullLayout;
              return [box.left + x._offset + x.d2p(trace.x[i]), box.top + y._offset + y.d2p(trace.y[i])];
            }""",
            [trial, role],
        )
        return found[0], found[1]

    def end_of(self, figure: str) -> tuple[float, float]:
        """Where the last trace of a figure ends on the screen, to which it is scrolled."""
        found = self.page.evaluate(
            """(name) => {
              document.getElementById(name).scrollIntoView({behavior: "instant", block: "start"});
              const figure = document.getElementById(`${name}-figure`), box = figure.getBoundingClientRect();
              const trace = figure.data.filter((of) => of.meta).at(-1);
              const { xaxis: x, yaxis: y } = figure._fullLayout;
              return [box.left + x._offset + x.d2p(trace.x.at(-1)), box.top + y._offset + y.d2p(trace.y.at(-1))];
            }""",
            figure,
        )
        return found[0], found[1]

    def text(self, selector: str) -> str:
        """What a reader sees of an element."""
        return self.page.locator(selector).inner_text()
