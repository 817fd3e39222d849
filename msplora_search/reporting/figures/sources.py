"""Studies to be shown beside each other, from output folders or from the front.json that people share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.reporting.figures.shown import Shown
from msplora_search.results.front_file import load_front_file
from msplora_search.search.results import load_results
from msplora_search.search.store.own_file import holds_study
from msplora_search.search.summary import summarise
from msplora_search.text import brief, shown


def load_shown(outputs: Sequence[Path], storage: str | None, labels: str | None) -> list[Shown]:
    """Every study, under different labels: as given, separated by commas, or by name, then model, then place.

    Raises InputError for what is no study, and for another number of labels than of studies.
    """
    studies = [_load(output, storage) for output in outputs]
    if labels is not None:
        given = [label.strip() for label in labels.split(",")]
        if len(given) != len(studies) or not all(given):
            raise InputError(
                f"--labels: {shown(labels)} names {len(given)}; it must be one name for each of the "
                f"{len(studies)} studies, separated by commas"
            )
        return [replace(study, label=label) for study, label in zip(studies, given, strict=True)]
    names = _apart([study.file.study for study in studies], [study.file.model or "" for study in studies])
    return [replace(study, label=name) for study, name in zip(studies, names, strict=True)]


def _load(output: Path, storage: str | None) -> Shown:
    if output.is_dir() and (storage is not None or holds_study(output)):
        return Shown.of(summarise(load_results(output, storage)))
    if not output.exists():
        raise InputError(f"{output}: does not exist; give output folders of runs, or their front.json")
    file = load_front_file(output)
    return Shown(file.study, file)


def _apart(names: list[str], models: list[str]) -> list[str]:
    """The same names with what tells them apart."""
    counts = Counter(names)
    longer = [f"{n}, {brief(m, 24)}" if counts[n] > 1 and m else n for n, m in zip(names, models, strict=True)]
    again = Counter(longer)
    return [f"{name} ({place})" if again[name] > 1 else name for place, name in enumerate(longer, start=1)]
