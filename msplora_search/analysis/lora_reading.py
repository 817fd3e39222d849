"""A folder of PEFT's LoRA as plain updates. safetensors only: a pickle can run code."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from msplora_search.adapters.patterns import Names
from msplora_search.adapters.peft_format import CONFIG, PREFIX, TENSORS
from msplora_search.analysis.updates import Place, Trained, Update
from msplora_search.design.depth import MOST_LAYERS
from msplora_search.errors import InputError
from msplora_search.text import brief, printable, several, shown

FACTOR = re.compile(r"(?P<path>.+)\.lora_(?P<factor>[AB])(?:\.default)?\.weight")
LAYER = re.compile(r"(?P<stack>(?:[^.\d][^.]*\.)*?)(?P<layer>\d{1,4})\.(?P<target>.+)")
"""The first part of a module's path that is a number is its layer: encoder.block.3.layer.0.SelfAttention.q."""


def read_lora(folder: Path, name: str) -> Trained:
    """The update at each site, on the one level `layer`. Raises InputError where the folder cannot be used."""
    config, tensors = _config(folder / CONFIG), _tensors(folder / TENSORS)
    pairs: dict[str, dict[str, Tensor]] = {}
    other = 0
    for key, tensor in tensors.items():
        if match := FACTOR.fullmatch(key):
            pairs.setdefault(match["path"].removeprefix(PREFIX), {})[match["factor"]] = tensor
        elif "lora_" in key:
            other += 1
    level: dict[tuple[Place, int], Update] = {}
    named = {f: Names(config[f] or {}, f"{folder / CONFIG}: {f}") for f in ("rank_pattern", "alpha_pattern")}
    left_out = 0
    for path, pair in pairs.items():
        place = LAYER.fullmatch(path)
        if place is None or any(factor.ndim != 2 for factor in pair.values()):
            left_out += 1
            continue
        update = _update(path, pair, config, folder, named)
        d_out, d_in = update.shape
        level[Place(place["stack"].rstrip("."), place["target"], d_in, d_out), int(place["layer"])] = update
    if not level:
        raise InputError(
            f"{folder / TENSORS}: holds no lora_A and lora_B of a numbered layer; give a LoRA adapter"
        )
    layers = 1 + max(layer for _, layer in level)
    if layers > MOST_LAYERS:
        raise InputError(f"{folder / TENSORS}: names layer {layers - 1}; there must be at most {MOST_LAYERS:,}")
    return Trained(name, "LoRA", layers, {"layer": level}, (0, layers), _notes(left_out, other))


def _notes(left_out: int, other: int) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(f"Left out: {several(left_out, 'module')} outside numbered layers, or no matrix.")
    if other:
        notes.append(f"Left out: {several(other, 'tensor')} of embeddings, or of variants of LoRA.")
    return tuple(notes)


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is no JSON: {printable(str(error))}; save the adapter anew") from None
    if not isinstance(config, dict):
        raise InputError(f"{file}: is {shown(config)}; it must be a mapping with r and lora_alpha")
    if (kind := config.get("peft_type", "LORA")) != "LORA":
        raise InputError(f"{file}: peft_type is {shown(kind)}; it must be LORA")
    if config.get("use_dora"):
        raise InputError(f"{file}: use_dora is true; it must be false: DoRA's update depends on the base weights")
    for field in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.setdefault(field, {}) or {}, dict):
            raise InputError(
                f"{file}: {field} is {shown(config[field])}; it must be a mapping of names to numbers"
            )
    _number(file, "r", config.get("r"))
    _number(file, "lora_alpha", config.get("lora_alpha"))
    return config


def _number(file: Path, field: str, value: object) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if not right or not isinstance(value, int | float):
        raise InputError(f"{file}: {field} is {shown(value)}; it must be a number above 0")
    return float(value)


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        pickled = " (adapter_model.bin is a pickle, which can run code; save with safe_serialization=True)"
        beside = pickled if file.with_suffix(".bin").exists() else ""
        raise InputError(f"{file}: no such file; give the adapter as safetensors{beside}") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{file}: cannot be read: {printable(str(error))[:200]}; save the adapter anew") from None


def _update(
    path: str, pair: dict[str, Tensor], config: dict[str, Any], folder: Path, named: dict[str, Names]
) -> Update:
    file, said = folder / TENSORS, brief(path, 200)
    if missing := [factor for factor in "AB" if factor not in pair]:
        raise InputError(f"{file}: {said} lacks lora_{missing[0]}; save the adapter anew")
    down, up = pair["A"], pair["B"]
    if down.shape[0] != up.shape[1] or not down.numel() or not up.numel():
        raise InputError(
            f"{file}: {said} has lora_A of shape {tuple(down.shape)} and lora_B of {tuple(up.shape)}; the first "
            "must have as many rows as the second has columns"
        )
    if not all(t.is_floating_point() and bool(torch.isfinite(t).all()) for t in pair.values()):
        raise InputError(f"{file}: {said} holds what is no finite number; train with a lower rate")

    def number(field: str, otherwise: float) -> float:
        key = named[field].first(path)
        if key is None:
            return otherwise
        return _number(folder / CONFIG, f"{field}.{brief(key)}", config[field][key])

    rank = number("rank_pattern", float(config["r"]))
    if rank != down.shape[0]:
        raise InputError(
            f"{file}: {said} has rank {down.shape[0]}, but {CONFIG} says {rank:g} (r, rank_pattern); both must be "
            "equal"
        )
    alpha = number("alpha_pattern", float(config["lora_alpha"]))
    scaling = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Update(scaling * np.asarray(down.double().numpy()), np.asarray(up.double().numpy()))
