"""Reads a model's configuration, from a folder or the hub: within bounds, and without code of the model's own."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from msplora_search.adapters.foreign import loading
from msplora_search.design.depth import MOST_LAYERS
from msplora_search.errors import InputError, suggest
from msplora_search.text import brief, shown

CODE = (
    "has code of its own (auto_map in its config.json), which is not run here; "
    "give a config.json of an architecture that transformers knows, or a bare architecture such as roberta"
)
MOST_BYTES = 16 * 2**20
MOST_NUMBER = 10**11
MOST_LABELS = 1_000_000
BOUNDS = ((re.compile(r"(layers?|blocks?|depths?)$"), MOST_LAYERS), (re.compile(r"^num_labels$"), MOST_LABELS))
"""Of fields by whose value transformers makes so many objects; any other may be up to `MOST_NUMBER`."""


def load_config(model: str) -> Any:
    """The configuration of a config.json, a folder, an id, or a bare architecture at its default sizes.

    Code of the model's own is not run. Raises InputError where there is no usable one.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    if model in CONFIG_MAPPING:
        with loading(model, "has no default sizes", code=CODE):
            return AutoConfig.for_model(model)
    path = os.path.expanduser(model)
    if not os.path.exists(path) and ("/" not in model or os.path.isabs(path)):
        raise InputError(
            f"model {shown(model)}: is no file, folder or known architecture; give a config.json, a model folder, "
            f"an id such as org/name, or an architecture such as roberta{_meant(model)}"
        )
    location = path if os.path.exists(path) else model
    with loading(model, "no usable config.json", code=CODE):
        require_bounds(model, location)
        return AutoConfig.from_pretrained(location, trust_remote_code=False)


def require_bounds(model: str, location: str) -> None:
    """Raise InputError for a config.json of more than `MOST_BYTES`, or with numbers beyond `BOUNDS`.

    Whatever keeps it from being read is passed on.
    """
    from transformers import PreTrainedConfig

    if os.path.exists(location):
        _require_small(model, Path(location))
    fields, _ = PreTrainedConfig.get_config_dict(location)
    _require_bounds(model, fields)


def _require_small(model: str, path: Path) -> None:
    """Refuse a config.json that is no file, or too large to be one; what is missing transformers tells."""
    file = path / "config.json" if path.is_dir() else path
    if not os.path.exists(file):
        return
    found = file.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        said = f"its config.json must be a file of at most {MOST_BYTES:,} bytes"
        raise InputError(f"model {brief(model, 200)}: {said}")


def _require_bounds(model: str, value: Any, name: str = "") -> None:
    """Raise InputError for a number in a configuration with which no model can be built here."""
    match value:
        case dict():
            for key, inner in value.items():
                _require_bounds(model, inner, str(key))
        case list():
            for inner in value:
                _require_bounds(model, inner, name)
        case int():
            most = next((most for names, most in BOUNDS if names.search(name)), MOST_NUMBER)
            if not -MOST_NUMBER <= value <= most:
                raise InputError(
                    f"model {brief(model, 200)}: its config.json has {shown(name)} {shown(value)}; "
                    f"it must be at most {most:,}"
                )


def _meant(architecture: str) -> str:
    from transformers import CONFIG_MAPPING

    said = suggest(architecture, CONFIG_MAPPING)
    return f" ({said})" if said.startswith("did you mean") else ""
