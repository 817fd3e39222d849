"""Keeps the report of a finished search as an example, beside the study that it is of.

    python -m scripts.keep_example runs/offline_images

writes `studies/offline_images.md` and the front as `studies/offline_images.png`; other pictures are left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

STUDIES = Path(__file__).parents[1] / "studies"
PICTURE = re.compile(r"!\[[^]]*\]\((\w+)\.svg\)\n\n(?:(?:The|A row) [^\n]*\n\n)?")
"""A picture, and the sentence that says what it shows."""


def main() -> None:
    """Copy the text and one picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="+", help="output folders of searches")
    for output in parser.parse_args().output:
        keep(output, STUDIES)


def keep(output: Path, folder: Path) -> None:
    """Write the example of one search into `folder`."""
    report = output / "report"
    text = (report / "report.md").read_text(encoding="utf-8")
    name = output.resolve().name
    shutil.copyfile(report / "front.png", folder / f"{name}.png")
    (folder / f"{name}.md").write_text(reduced(text, name), encoding="utf-8")


def reduced(report: str, name: str) -> str:
    """A report with the front as its only picture."""

    def shown(found: re.Match[str]) -> str:
        return f"![front]({name}.png)\n\n" if found[1] == "front" else ""

    return PICTURE.sub(shown, report)


if __name__ == "__main__":
    main()
