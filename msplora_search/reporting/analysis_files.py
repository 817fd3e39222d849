"""What `analyze` leaves: a page in words, the figures for programs, and the plots."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msplora_search.analysis.report import Analysis
from msplora_search.analysis.transfer import Transfer
from msplora_search.errors import InputError
from msplora_search.reporting.analysis_interference import (
    draw_interference,
    interference_lines,
    interference_markdown,
)
from msplora_search.reporting.analysis_plots import draw_similarity, draw_spectra, draw_transfer
from msplora_search.reporting.analysis_words import (
    analysis_markdown,
    answer_lines,
    transfer_lines,
    transfer_markdown,
)
from msplora_search.reporting.folder import write_folder
from msplora_search.text import markdown, shown

FOLDER, TEXT, JSON = "analysis", "analysis.md", "analysis.json"
OWN = re.compile(r"analysis\.(md|json)|(spectra|similarity|interference|transfer)(-\d+)?\.(png|svg)")
"""Names of the files that `analyze` writes."""


def require_own(folder: Path) -> None:
    """Raise InputError where something stands in a folder that `analyze` did not write."""
    try:
        foreign = sorted(path.name for path in folder.iterdir() if not OWN.fullmatch(path.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"--to {folder}: {error.strerror or error}; name a folder that can be written") from None
    if foreign:
        raise InputError(
            f"--to {folder}: holds {shown(foreign[0])}, which is not of analyze; name an empty folder"
        )


def told(analyses: Sequence[Analysis], found: Transfer | None) -> dict[str, Any]:
    """`analysis.json`."""
    return {
        "format": 1,
        "adapters": [analysis.to_json() for analysis in analyses],
        "transfer": found and found.to_json(),
    }


def write_analysis(analyses: Sequence[Analysis], found: Transfer | None, folder: Path) -> Path:
    """Write `folder`/analysis.md, analysis.json and the plots; the path of the text. Raises InputError."""
    require_own(folder)

    def fill(part: Path) -> None:
        paragraphs: list[str] = []
        for number, analysis in enumerate(analyses, start=1):
            end = f"-{number}" if len(analyses) > 1 else ""
            draw_spectra(analysis, part / f"spectra{end}")
            draw_similarity(analysis, part / f"similarity{end}")
            paragraphs += analysis_markdown(analysis, (f"spectra{end}.svg", f"similarity{end}.svg"))
            if analysis.interference is not None:
                draw_interference(analysis.interference, analysis.trained.name, part / f"interference{end}")
                paragraphs += interference_markdown(analysis.interference, f"interference{end}.svg")
        if found is not None:
            if found.why_not is None:
                draw_transfer(found, part / "transfer")
            paragraphs += transfer_markdown(found, "transfer.svg")
        lines = lines_of(analyses, None)
        answer = "" if found is not None else "\n".join(f"- {markdown(line)}" for line in lines)
        text = "\n\n".join(paragraph for paragraph in ("# Analysis", answer, *paragraphs) if paragraph)
        (part / TEXT).write_text(text + "\n", encoding="utf-8")
        content = json.dumps(told(analyses, found), indent=2, allow_nan=False) + "\n"
        (part / JSON).write_text(content, encoding="utf-8")

    write_folder(folder, fill, last=JSON)
    return folder / TEXT


def lines_of(analyses: Sequence[Analysis], found: Transfer | None) -> list[str]:
    """What a person reads first."""
    if found is not None:
        return transfer_lines(found)
    return [
        line
        for analysis in analyses
        for line in (*answer_lines(analysis), *interference_lines(analysis.interference))
    ]
