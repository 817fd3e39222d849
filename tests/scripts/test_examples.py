"""Examples beside the studies are reports of finished searches, with the front as their picture."""

from __future__ import annotations

import re
from pathlib import Path

from msplora_search.reporting.report import write_report
from msplora_search.search.summary import summarise
from scripts.keep_example import STUDIES, keep
from tests.example import results

EXAMPLES = sorted(path for path in STUDIES.glob("*.md") if path.stem != "MEASURED")


def test_an_example_keeps_the_text_and_the_front_alone(tmp_path: Path) -> None:
    write_report(summarise(results()), tmp_path / "out")
    keep(tmp_path / "out", tmp_path)
    text, whole = (tmp_path / "out.md").read_text(), (tmp_path / "out" / "report" / "report.md").read_text()
    assert re.findall(r"!\[\w+\]\(([^)]*)\)", text) == ["out.png"]
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "out" / "report" / "front.png").read_bytes()
    for line in whole.splitlines():
        assert line in text or line.startswith(("![", "The metric at", "The best", "A row"))


def test_each_example_is_of_a_study_that_is_here() -> None:
    assert EXAMPLES
    for path in EXAMPLES:
        assert path.with_suffix(".yaml").is_file()
        assert path.with_suffix(".png").is_file()
        assert f"![front]({path.stem}.png)" in path.read_text()
