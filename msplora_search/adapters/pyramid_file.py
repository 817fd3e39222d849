"""A trained pyramid on disk: `pyramid.json` says what it is, `pyramid.safetensors` holds every tensor once.

What was trained beside the adapters, and the whole task head, is in the file too. Names of the head's
outputs go along. The file's checksum stands in `pyramid.json`, so a half-updated folder is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from msplora_search.adapters.anatomy import AnatomyError, dissect, head_parameters
from msplora_search.adapters.bank import AdapterBank, attach, bank_of, detach, trained_beside
from msplora_search.adapters.outputs import Outputs
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.files import damaged, install, public_name, read_json

CONFIG, TENSORS = "pyramid.json", "pyramid.safetensors"
FORMAT = 2
READ = (1, FORMAT)
"""Format 1 has no checksum and no names of the outputs."""
ANEW = "save it anew"
ADAPTER, BESIDE = "adapter.", "beside."


@dataclass(frozen=True)
class Saved:
    """What stands in a folder of `save_pyramid`."""

    config: Mapping[str, Any]
    file: Path
    """The tensors' file, for messages."""
    pyramid: Pyramid
    adapters: dict[str, Tensor]
    beside: dict[str, Tensor]


def save_pyramid(model: nn.Module, folder: str | Path, base_model: str | None = None) -> Path:
    """Write the adapters of an adapted model, what trains beside them, and its head, into `folder`.

    Sharing stays as it is: a few hundred kB. Other files in `folder` stay. `base_model`: the name of
    what was adapted; by default the id or folder that it was loaded from, without the folder's path.
    Raises ValueError when the model is not adapted, InputError where the folder cannot be written; an
    earlier content is then untouched.
    """
    bank, beside = bank_of(model), trained_beside(model)
    own_head = {id(p) for p in head_parameters(model)} - {id(p) for p in bank.parameters()}
    head = {name: p for name, p in model.named_parameters() if id(p) in own_head}
    known = base_model or getattr(getattr(model, "config", None), "_name_or_path", None)
    tensors = {f"{ADAPTER}{name}": tensor for name, tensor in bank.state().items()}
    tensors |= {f"{BESIDE}{name}": parameter.detach() for name, parameter in (head | beside).items()}
    config: dict[str, Any] = {
        "format": FORMAT,
        "base_model": public_name(known) if known else None,
        "pyramid": bank.pyramid.to_json(),
        "stack": bank.anatomy.stack,
        "trained_beside": sorted(beside),
        "outputs": outputs.to_json() if head and (outputs := Outputs.of(model)) else None,
    }

    def fill(part: Path) -> None:
        save_file({name: t.contiguous().cpu() for name, t in tensors.items()}, part / TENSORS)
        told = {**config, "sha256": _sha256(part / TENSORS)}
        (part / CONFIG).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    try:
        install(Path(folder).resolve(), fill, last=CONFIG)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return Path(folder)


def load_pyramid(
    model: nn.Module, folder: str | Path, trainable: Iterable[nn.Parameter] | None = None
) -> AdapterBank:
    """Adapt `model` by what `save_pyramid` wrote: the same pyramid, adapters and head. Returns the bank.

    Beside the adapters a file may replace the task head and a pooler before it, and no other weight
    of the base but those that are named as `trainable`, as they were for `attach`.
    The model's config gets the names of the head's outputs.

    Raises InputError naming the file where it is missing, damaged, or of another architecture, where it
    holds other weights of the base, numbers that are not finite, or no head for the one that the model
    has; the model is then as it was.
    """
    saved = read_saved(Path(folder))
    names = dict(model.named_parameters())
    _require_own(model, saved, names, list(trainable or ()))
    bank = _attached(model, saved, names)
    with torch.no_grad():
        for name, tensor in saved.beside.items():
            names[name].copy_(tensor)
    if isinstance(known := saved.config.get("outputs"), dict):
        Outputs.from_json(known).name(model)
    return bank


def _attached(model: nn.Module, saved: Saved, names: dict[str, nn.Parameter]) -> AdapterBank:
    """Put the adapters on, whose numbers were counted before any is made."""
    try:
        anatomy = dissect(model, saved.pyramid.targets)
        wanted, found = anatomy.count(saved.pyramid), sum(t.numel() for t in saved.adapters.values())
        if wanted != found:
            raise InputError(
                f"{saved.file}: does not fit {type(model).__name__}: it holds {found:,} numbers of adapters, "
                f"where its pyramid has {wanted:,} in this model"
            )
        trained = [names[name] for name in saved.config["trained_beside"]]
        bank = attach(model, saved.pyramid, anatomy=anatomy, trainable=trained)
    except AnatomyError as error:
        raise InputError(f"{saved.file.with_name(CONFIG)}: does not fit {type(model).__name__}: {error}") from None
    try:
        bank.load_state(saved.adapters)
    except ValueError as error:
        detach(model)
        raise InputError(f"{saved.file}: does not fit {type(model).__name__}: {error}") from None
    return bank


def _require_own(
    model: nn.Module, saved: Saved, names: dict[str, nn.Parameter], further: list[nn.Parameter]
) -> None:
    """Refuse a file whose weights beside the adapters are not the head of `model`, the whole of it."""
    kind, head = type(model).__name__, head_parameters(model)
    base = getattr(model, "base_model", model)
    pooler = getattr(base, "pooler", None)
    allowed = {id(p) for p in [*head, *further, *(pooler.parameters() if pooler is not None else ())]}
    for name, tensor in saved.beside.items():
        if name not in names or names[name].shape != tensor.shape:
            there = f"shape {tuple(names[name].shape)}" if name in names else "no such parameter"
            raise InputError(
                f"{saved.file}: {name} has shape {tuple(tensor.shape)}, but {kind} has {there}; load the base "
                f"model {saved.config['base_model']} with the same number of classes"
            )
        if id(names[name]) not in allowed:
            raise InputError(
                f"{saved.file}: {name} would replace a weight of the base; where that is meant, give "
                "load_pyramid the parameter as trainable"
            )
    own = {id(parameter) for parameter in head}
    if missing := [name for name, p in names.items() if id(p) in own and name not in saved.beside]:
        raise InputError(
            f"{saved.file}: lacks {missing[0]}, which {kind} has in its head and would keep as it is; load it "
            "into the kind of model that it was saved from, or save it anew"
        )


def read_saved(folder: Path) -> Saved:
    """What `save_pyramid` wrote, checked in itself. Raises InputError where it is missing or damaged."""
    try:
        tensors = load_file(folder / TENSORS) if (folder / CONFIG).exists() else {}
    except FileNotFoundError:
        raise InputError(f"{folder / TENSORS}: no such file; give a folder of save_pyramid") from None
    except OSError as error:
        raise InputError(f"{folder / TENSORS}: cannot be read: {error.strerror or error}") from None
    except (ValueError, SafetensorError) as error:
        raise damaged(folder / TENSORS, str(error), ANEW) from None
    return _checked(_config_of(folder), tensors, folder)


def _config_of(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    if not file.exists():
        raise InputError(f"{file}: no such file; give a folder of save_pyramid")
    config = read_json(file, ANEW)
    if not isinstance(config, dict) or config.get("format") not in READ:
        raise InputError(f"{file}: is no pyramid of format {FORMAT}")
    beside, outputs = config.get("trained_beside"), config.get("outputs")
    if not isinstance(beside, list) or not all(isinstance(name, str) for name in beside):
        raise damaged(file, "trained_beside is no list of names", ANEW)
    if outputs is not None and not Outputs.is_one(outputs):
        raise damaged(file, "outputs are no list of names", ANEW)
    config.setdefault("base_model", None)
    return config


def _checked(config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> Saved:
    file = folder / TENSORS
    try:
        pyramid = Pyramid.from_json(config["pyramid"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / CONFIG}: {error}") from None
    if config["format"] != 1 and config.get("sha256") != _sha256(file):
        raise damaged(file, f"its checksum is not the one in {CONFIG}", ANEW)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise damaged(file, f"{name} holds what is no finite number", ANEW)
    parts = [
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        for prefix in (ADAPTER, BESIDE)
    ]
    if lacking := sorted(set(config["trained_beside"]) - parts[1].keys()):
        raise damaged(file, f"it lacks {lacking[0]}, which was trained", ANEW)
    return Saved(config, file, pyramid, *parts)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
