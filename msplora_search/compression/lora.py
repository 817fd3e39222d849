"""Reads a trained PEFT LoRA from its folder: scaled factors by site, and what was saved beside them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from msplora_search.adapters.outputs import Outputs
from msplora_search.adapters.patterns import Names
from msplora_search.adapters.peft_format import CONFIG, PREFIX, TENSORS, config_of
from msplora_search.adapters.pyramid_file import CONFIG as PYRAMID
from msplora_search.errors import InputError
from msplora_search.files import read_json
from msplora_search.text import brief, shown

FACTOR = re.compile(r"(?P<path>.+)\.lora_(?P<name>[AB])\.weight")
PLACE = re.compile(r"(?P<stack>.+?)\.(?P<layer>\d+)\.(?P<target>.+)")
ALIKE = re.compile(r"adapters?|checkpoints?(-\d+)?|model|peft|pyramid", re.IGNORECASE)
"""Names of folders that programs give to all adapters alike."""
ANEW = "give a folder that PEFT's save_pretrained wrote"


@dataclass(frozen=True)
class LoraSite:
    """One adapted matrix: its update is `up @ down`, scaling included, (d_out, d_in)."""

    path: str
    stack: str
    layer: int
    target: str
    up: Tensor
    down: Tensor
    scale: float
    """Included in `down`."""

    @property
    def rank(self) -> int:
        """Columns of `up`."""
        return self.up.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(d_in, d_out)."""
        return self.down.shape[1], self.up.shape[0]


@dataclass(frozen=True)
class Lora:
    """A LoRA as PEFT computes it."""

    folder: Path
    sites: tuple[LoraSite, ...]
    beside: dict[str, Tensor]
    """Parameters of modules_to_save, by their names in the model."""
    modules: tuple[str, ...]
    """Names of these modules."""
    outputs: Outputs | None
    """What the outputs of the head are called, where a pyramid that was delivered with the LoRA says it."""
    base_model: str | None
    task_type: str | None
    fan_in_fan_out: bool

    @property
    def name(self) -> str:
        """That of its folder, or of the nearest above it that is this one's own; `adapter` where there is none."""
        whole = self.folder.resolve()
        own = (place.name for place in (whole, *whole.parents) if not ALIKE.fullmatch(place.name))
        return next(own, "") or "adapter"

    @property
    def layers(self) -> int:
        """Depth as far as the adapter goes."""
        return 1 + max(site.layer for site in self.sites)

    @property
    def rank(self) -> int:
        """The largest of any site."""
        return max(site.rank for site in self.sites)

    def peft_config(self) -> Any:
        """For stock PEFT; nothing of the foreign config is in it but what was read here."""
        ranks = {site.path: site.rank for site in self.sites}
        alphas = {site.path: site.scale * site.rank for site in self.sites}
        return config_of(ranks, alphas, self.modules, self.fan_in_fan_out)

    @property
    def params(self) -> int:
        """Numbers in the factors."""
        return sum(site.rank * sum(site.shape) for site in self.sites)


def read_lora(folder: Path) -> Lora:
    """Raises InputError naming file and field for what is no plain LoRA over whole layers of one stack."""
    config = _config(folder / CONFIG)
    tensors = _tensors(folder / TENSORS)
    modules: list[str] = config.get("modules_to_save") or []
    factors: dict[str, dict[str, Tensor]] = {}
    beside: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix(PREFIX)
        if match := FACTOR.fullmatch(plain):
            factors.setdefault(match["path"], {})[match["name"]] = tensor
        elif _in_modules(plain, modules):
            beside[plain] = tensor
        else:
            raise InputError(
                f"{folder / TENSORS}: {brief(name)}: is neither lora_A, lora_B nor in modules_to_save"
            )
    alphas = config.get("alpha_pattern") or {}
    names = Names(alphas, f"{folder / CONFIG}: alpha_pattern")
    sites = tuple(
        _site(path, pair, alphas.get(names.first(path), config["lora_alpha"]), config, folder / TENSORS)
        for path, pair in sorted(factors.items())
    )
    _require_whole(sites, folder / TENSORS)
    base, task = config.get("base_model_name_or_path"), config.get("task_type")
    kept = tuple(name for name in modules if any(_in_modules(parameter, [name]) for parameter in beside))
    return Lora(
        folder, sites, beside, kept, _outputs(folder), base or None, task, bool(config.get("fan_in_fan_out"))
    )


def _config(file: Path) -> dict[str, Any]:
    config = read_json(file, ANEW)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else config
        raise InputError(f"{file}: peft_type: is {shown(kind)}; compress takes LORA")
    refused = {"use_dora": "DoRA's magnitudes", "lora_bias": "a bias", "trainable_token_indices": "trained tokens",
               "layer_replication": "repeated layers", "target_parameters": "bare parameters"}  # fmt: skip
    for field, what in refused.items():
        if config.get(field):
            raise InputError(f"{file}: {field}: is {shown(config[field])}; no pyramid holds {what}: train without")
    if config.get("bias", "none") != "none":
        raise InputError(f"{file}: bias: is {shown(config['bias'])}; only none can be compressed")
    alphas = [config.get("lora_alpha"), *_pattern(config, "alpha_pattern", file).values()]
    if odd := [a for a in alphas if isinstance(a, bool) or not isinstance(a, int | float) or not math.isfinite(a)]:
        raise InputError(f"{file}: lora_alpha or alpha_pattern: {shown(odd[0])} is no number")
    modules = config.get("modules_to_save") or []
    if not isinstance(modules, list) or not all(isinstance(m, str) for m in modules):
        raise InputError(f"{file}: modules_to_save: is {shown(modules)}; a list of names is right")
    for field in ("base_model_name_or_path", "task_type"):
        if not isinstance(config.get(field), str | None):
            raise InputError(f"{file}: {field}: is {shown(config[field])}; a name or null is right")
    return config


def _outputs(folder: Path) -> Outputs | None:
    """Of `pyramid/` beside the folder, as this program delivers models."""
    try:
        told = json.loads((folder.resolve().parent / "pyramid" / PYRAMID).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    named = told.get("outputs") if isinstance(told, dict) else None
    return Outputs.from_json(named) if isinstance(named, dict) and Outputs.is_one(named) else None


def _pattern(config: dict[str, Any], field: str, file: Path) -> dict[str, Any]:
    pattern = config.get(field) or {}
    if not isinstance(pattern, dict):
        raise InputError(f"{file}: {field}: is {shown(pattern)}; names with numbers are right")
    return pattern


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}; {ANEW}") from None
    except (ValueError, SafetensorError) as error:
        raise InputError(f"{file}: is damaged ({brief(str(error))}); {ANEW}") from None
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{file}: {brief(name)}: holds what is no finite number")
    return tensors


def _in_modules(name: str, modules: list[str]) -> bool:
    return any(f".{module}." in f".{name}" for module in modules)


def _site(path: str, pair: dict[str, Tensor], alpha: float, config: dict[str, Any], file: Path) -> LoraSite:
    place = PLACE.fullmatch(path)
    if place is None:
        raise InputError(f"{file}: {brief(path)}: lies in no layer; only layers of one stack can share")
    down, up = pair.get("A"), pair.get("B")
    if down is None or up is None or down.dim() != 2 or up.dim() != 2 or len(down) != up.shape[1]:
        raise InputError(f"{file}: {brief(path)}: lora_A and lora_B are no pair of matrices of one rank")
    scale = alpha / math.sqrt(len(down)) if config.get("use_rslora") else alpha / len(down)
    factors = up.double(), down.double() * scale
    return LoraSite(path, place["stack"], int(place["layer"]), place["target"], *factors, scale)


def _require_whole(sites: tuple[LoraSite, ...], file: Path) -> None:
    if not sites:
        raise InputError(f"{file}: holds no lora_A and lora_B")
    if len(stacks := sorted({site.stack for site in sites})) > 1:
        raise InputError(f"{file}: {brief(', '.join(stacks))}: are several stacks; compress takes one")
    layers = 1 + max(site.layer for site in sites)
    if layers > 4096:
        raise InputError(f"{file}: {layers} layers; at most 4096 is right")
    for target in sorted({site.target for site in sites}):
        missing = sorted(set(range(layers)) - {site.layer for site in sites if site.target == target})
        if missing:
            raise InputError(f"{file}: {brief(target)}: layer {missing[0]} has no update; every layer needs one")
