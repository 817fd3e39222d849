"""How the tokens of a text become one vector, as sentence-transformers does it and as its files say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from msplora_search.adapters.foreign import loading
from msplora_search.errors import InputError
from msplora_search.text import printable, shown

MODULES = "modules.json"
"""The file of sentence-transformers that names what comes after the model."""
KNOWN = ("Transformer", "Pooling", "Normalize")
MODES = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
"""By their names there."""
OLDER = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max", "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}  # fmt: skip
"""Fields of versions before 6, each true or false."""
ADVICE = "set task.pooling to mean, cls or last to do without these files"


@dataclass(frozen=True)
class Pooling:
    """Which tokens count, and whether the vector is brought to length 1."""

    mode: str
    """mean, cls (the first token), or last."""
    normalise: bool = False

    def of(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens: (batch, tokens, width), mask: (batch, tokens), padded on the right -> (batch, width), fp32."""
        seen = tokens.float()
        match self.mode:
            case "cls":
                found = seen[:, 0]
            case "last":
                places = (mask.sum(dim=1) - 1).clamp_min(0)
                found = seen[torch.arange(len(seen), device=seen.device), places]
            case _:
                weights = mask.unsqueeze(-1).to(seen.dtype)
                found = (seen * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-9)
        return F.normalize(found, dim=-1) if self.normalise else found


def pooling_of(asked: str | None, location: str) -> Pooling:
    """That of the model at `location`, a folder or an id; `asked`: `task.pooling`.

    Raises InputError where the model's files ask for something else than a mean, a first or a last token, and a
    length of 1.
    """
    if asked not in (None, "auto"):
        return Pooling(str(asked))
    with loading(location, "its files for sentence-transformers cannot be read", f"; {ADVICE}"):
        modules = _json_of(location, MODULES)
        return _usual(location) if modules is None else _told(location, modules)


def _usual(location: str) -> Pooling:
    """Where no files say it: the last token of a decoder, else the mean."""
    from transformers.models.auto import modeling_auto as auto

    config = _json_of(location, "config.json") or {}
    name = config.get("model_type")
    decodes = name in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and name not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return Pooling("last" if decodes else "mean")


def _told(location: str, modules: Any) -> Pooling:
    types = [str(module["type"]).rpartition(".")[2] for module in modules]
    if odd := [name for name in types if name not in KNOWN]:
        raise _refused(location, MODULES, f"has a module {shown(odd[0])}; known are {', '.join(KNOWN)}")
    if types[:2] != ["Transformer", "Pooling"]:
        raise _refused(location, MODULES, "does not begin with Transformer and Pooling")
    file = f"{modules[1]['path']}/config.json"
    config = _json_of(location, file) or {}
    older = [mode for field, mode in OLDER.items() if config.get(field)]
    mode = config.get("pooling_mode", older[0] if len(older) == 1 else older or "mean")
    if not isinstance(mode, str) or mode not in MODES:
        raise _refused(location, file, f"pools by {shown(mode)}; known are {', '.join(MODES)}")
    return Pooling(MODES[mode], "Normalize" in types)


def _refused(location: str, file: str, said: str) -> InputError:
    return InputError(f"model {printable(location)}: {file} {said}; {ADVICE}", "task.pooling")


def _json_of(location: str, name: str) -> Any:
    """A file beside the model's; None where there is none."""
    from transformers.utils.hub import cached_file

    if not location:
        return None
    path: str | Path | None = Path(location) / name
    if not Path(location).is_dir():
        path = cached_file(location, name, _raise_exceptions_for_missing_entries=False)
    if path is None or not Path(path).is_file():
        return None
    return json.loads(Path(path).read_text(encoding="utf-8"))
