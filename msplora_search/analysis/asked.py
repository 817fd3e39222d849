"""What is asked by some folders: of adapters each by itself, of two studies how they agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msplora_search.analysis.reading import read_trained
from msplora_search.analysis.recorded import read_interference
from msplora_search.analysis.report import Analysis, analyse
from msplora_search.analysis.transfer import Transfer, transfer
from msplora_search.errors import InputError
from msplora_search.search.results import load_results
from msplora_search.search.store.own_file import holds_study
from msplora_search.search.summary import summarise


def answer(paths: Sequence[Path]) -> tuple[list[Analysis], Transfer | None]:
    """The analysis of each adapter, or the transfer from one study to another.

    Raises InputError where a folder is neither, and for anything but adapters alone or two studies.
    """
    studies = [path for path in paths if path.is_dir() and holds_study(path)]
    if not studies:
        return [analyse(read_trained(path), read_interference(path)) for path in paths], None
    if len(studies) != 2 or len(paths) != 2:
        raise InputError(
            f"{studies[0]}: is the output of a study; give two of them and nothing else, or folders of adapters "
            "alone"
        )
    one, other = (summarise(load_results(path)) for path in studies)
    return [], transfer(one, other)
