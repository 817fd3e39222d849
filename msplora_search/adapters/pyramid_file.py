"""A trained pyramid on disk: `pyramid.json` says what it is, `pyramid.safetensors` holds every tensor once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from msplora_search.adapters.anatomy import AnatomyError
from msplora_search.adapters.bank import AdapterBank, attach, bank_of, detach, trained_beside
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.files import install

CONFIG, TENSORS = "pyramid.json", "pyramid.safetensors"
FORMAT = 1


def save_pyramid(model: nn.Module, folder: str | Path, base_model: str | None = None) -> Path:
    """Write the adapters of an adapted model, and what trains beside them, into `folder`.

    Sharing stays as it is: a few hundred kB. Raises ValueError when the model is not adapted,
    InputError where the folder cannot be written; an earlier content is then untouched.
    """
    bank, beside = bank_of(model), trained_beside(model)
    named = base_model or getattr(getattr(model, "config", None), "_name_or_path", None)
    config = {
        "format": FORMAT,
        "base_model": named,
        "pyramid": bank.pyramid.to_json(),
        "stack": bank.anatomy.stack,
        "trained_beside": sorted(beside),
    }
    tensors = {f"adapter.{name}": tensor for name, tensor in bank.state().items()}
    tensors |= {f"beside.{name}": parameter.detach() for name, parameter in beside.items()}

    def fill(part: Path) -> None:
        (part / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file({name: t.contiguous().cpu() for name, t in tensors.items()}, part / TENSORS)

    try:
        install(Path(folder), fill, last=CONFIG)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return Path(folder)


def load_pyramid(model: nn.Module, folder: str | Path) -> AdapterBank:
    """Adapt `model` by what `save_pyramid` wrote: the same pyramid, adapters and head. Returns the bank.

    Raises InputError naming the file where it is missing, damaged, or of another architecture;
    the model is then as it was.
    """
    config, tensors = _read(Path(folder))
    pyramid = _pyramid_of(config, Path(folder) / CONFIG)
    names = dict(model.named_parameters())
    beside = {name.removeprefix("beside."): t for name, t in tensors.items() if name.startswith("beside.")}
    for name, tensor in beside.items():
        if name not in names or names[name].shape != tensor.shape:
            there = f"shape {tuple(names[name].shape)}" if name in names else "no such parameter"
            raise InputError(
                f"{Path(folder) / TENSORS}: {name} has shape {tuple(tensor.shape)}, but {type(model).__name__} "
                f"has {there}; load the base model {config['base_model']} with the same number of classes"
            )
    try:
        bank = attach(model, pyramid, trainable=[names[name] for name in beside])
    except AnatomyError as error:
        raise InputError(f"{Path(folder) / CONFIG}: does not fit {type(model).__name__}: {error}") from None
    try:
        bank.load_state({n.removeprefix("adapter."): t for n, t in tensors.items() if n.startswith("adapter.")})
    except ValueError as error:
        detach(model)
        raise InputError(f"{Path(folder) / TENSORS}: does not fit {type(model).__name__}: {error}") from None
    with torch.no_grad():
        for name, tensor in beside.items():
            names[name].copy_(tensor)
    return bank


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or folder}: no such file; give a folder of save_pyramid") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from None
    except (ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: holds a damaged file: {error}; save it anew") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{folder / CONFIG}: is no pyramid of format {FORMAT}")
    return config, tensors


def _pyramid_of(config: dict[str, Any], file: Path) -> Pyramid:
    try:
        return Pyramid.from_json(config["pyramid"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{file}: {error}") from None
