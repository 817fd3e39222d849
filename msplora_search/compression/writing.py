"""Puts a compressed LoRA on its base model; or, where that is not loaded, writes it all the same.

Then `pyramid/` and `peft/` are made by the code that saves trained models, on a skeleton: modules of the base's
names and shapes without its weights; and what is written is compared as updates, not as logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from msplora_search.adapters.anatomy import Anatomy, AnatomyError, dissect
from msplora_search.adapters.bank import AdapterBank, attach, pyramid_linear
from msplora_search.adapters.layer import LowRankAdapter
from msplora_search.adapters.peft_format import PREFIX, TENSORS, to_peft
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.compression.compressing import MOST, Compression, Point
from msplora_search.compression.family import SiteFamily
from msplora_search.compression.levels import Levels
from msplora_search.compression.lora import Lora
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.files import public_name
from msplora_search.text import brief

MOST_APART = 1e-5
"""Between the updates of the two forms, in proportion to the largest entry."""


def write_point(compression: Compression, point: Point, folder: Path) -> float:
    """Write `pyramid/` and `peft/` of `point`; returns the largest difference between their updates.

    Raises InputError where they cannot be written, or differ.
    """
    lora = compression.lora
    model, head = _skeleton(lora)
    bank = attach(model, pyramid_of(lora, point), trainable=head)
    fill(bank, compression, point)
    base = public_name(lora.base_model) if lora.base_model else None
    save_pyramid(model, folder / "pyramid", base)
    is_id = base == lora.base_model
    to_peft(model).save(folder / "peft", base if is_id else None, lora.task_type)
    apart = _apart(model, bank, folder / "peft")
    if apart > MOST_APART:
        raise InputError(f"the updates of pyramid and PEFT form differ by {apart:.1e}; nothing was written")
    return apart


def put_on(model: nn.Module, compression: Compression, point: Point, head: Iterable[nn.Parameter] = ()) -> None:
    """Adapt the base model of the LoRA: the pyramid of `point`, and what was saved beside the LoRA.

    `head`: what trains beside the adapters; what was saved beside the LoRA does in any case. Raises InputError as
    `sites_in` does.
    """
    lora = compression.lora
    pyramid, anatomy = sites_in(model, lora, point)
    named = dict(model.named_parameters())
    kept = {id(p): p for p in [*head, *(named[name] for name in lora.beside)]}
    bank = attach(model, pyramid, anatomy=anatomy, trainable=kept.values())
    with torch.no_grad():
        for name, tensor in lora.beside.items():
            named[name].copy_(tensor)
    fill(bank, compression, point)


def sites_in(model: nn.Module, lora: Lora, point: Point) -> tuple[Pyramid, Anatomy]:
    """The pyramid of a point, and its sites in `model`. Raises InputError where the LoRA is of another model."""
    pyramid, kind = pyramid_of(lora, point), type(model).__name__
    named = dict(model.named_parameters())
    for name, tensor in lora.beside.items():
        there = str(tuple(named[name].shape)) if name in named else "no such parameter"
        if there != str(tuple(tensor.shape)):
            raise InputError(
                f"{lora.folder / TENSORS}: {brief(name)} has shape {tuple(tensor.shape)}, but {kind} has {there}; "
                "it is of another model, or of other classes"
            )
    try:
        anatomy = dissect(model, pyramid.targets)
        if len(anatomy.stacks) > 1:  # say which of them
            pyramid = pyramid_of(lora, point, f"{lora.sites[0].stack}:")
            anatomy = dissect(model, pyramid.targets)
        anatomy.require_depth(pyramid)
    except AnatomyError as error:
        raise InputError(f"{lora.folder / TENSORS}: does not fit {kind}: {error}") from None
    theirs = {(site.path, *site.shape) for site in lora.sites}
    ours = {(site.path, site.d_in, site.d_out) for site in anatomy.sites}
    if odd := sorted(theirs ^ ours):
        what = f"{brief(odd[0][0])} of {odd[0][1]} to {odd[0][2]} is on one side only"
        raise InputError(f"{lora.folder / TENSORS}: does not fit {kind}: {what}")
    return pyramid, anatomy


def pyramid_of(lora: Lora, point: Point, stack: str = "") -> Pyramid:
    """The pyramid of a point. `stack`: what is to stand before each target."""
    groups = [DepthGroup(a, b, point.ranks.mid, point.ranks.layer) for a, b in point.groups]
    return Pyramid(point.ranks.top, groups, sorted({stack + site.target for site in lora.sites}))


def fill(bank: AdapterBank, compression: Compression, point: Point) -> None:
    """Give the adapters what was fitted."""
    for family in compression.families:
        _fill(bank, family, family.fitted(point.ranks, point.groups, MOST), point)


def _skeleton(lora: Lora) -> tuple[nn.Module, list[nn.Parameter]]:
    """Modules named as the base's, without weights, and the parameters that were saved beside the adapter."""
    root = nn.Module()
    root.register_parameter("anchor", nn.Parameter(torch.empty(0)))  # tells `attach` to work on the CPU
    for site in sorted(lora.sites, key=lambda s: s.layer):
        _put(root, site.path, _bare(*site.shape, lora.fan_in_fan_out), site.stack)
    head = []
    for name, tensor in lora.beside.items():
        path, _, own = name.rpartition(".")
        holder = _put(root, path, nn.Module(), None)
        holder.register_parameter(own, nn.Parameter(tensor.float()))
        head.append(getattr(holder, own))
    if lora.outputs is not None:
        root.config = SimpleNamespace(**lora.outputs.fields())  # type: ignore[assignment]
    return root, head


def _bare(d_in: int, d_out: int, is_transposed: bool) -> nn.Module:
    with torch.device("meta"):
        if is_transposed:
            return Conv1D(d_out, d_in)  # type: ignore[no-untyped-call]
        return nn.Linear(d_in, d_out, bias=False)


def _put(root: nn.Module, path: str, leaf: nn.Module, stack: str | None) -> nn.Module:
    """Hang `leaf` in at `path`, unless something is there; the module at `stack` is the list of layers."""
    parts, here = path.split("."), root
    for i, part in enumerate(parts):
        child = here._modules.get(part)
        if child is None:
            name = ".".join(parts[: i + 1])
            child = leaf if i == len(parts) - 1 else nn.ModuleList() if name == stack else nn.Module()
            here.add_module(part, child)
        here = child
    return here


@torch.no_grad()
def _fill(bank: AdapterBank, family: SiteFamily, levels: Levels, point: Point) -> None:
    """Give the adapters of a family's sites what was fitted."""
    for i, site in enumerate(family.sites):
        adapters = bank.sites.get(site.path, ())
        parts = list(_parts(family, levels, point, i))
        alone = next(b - a for a, b in point.groups if a <= site.layer < b) == 1
        if alone and point.ranks.mid and point.ranks.layer:  # the canonical form may name them the other way
            parts = [*parts[:-2], *_resplit(parts[-2:], [a.rank for a in adapters[-2:]])]
        for adapter, (up, down) in zip(adapters, parts, strict=True):
            _set(adapter, up, down)


def _parts(family: SiteFamily, levels: Levels, point: Point, i: int) -> Iterator[tuple[Tensor, Tensor]]:
    ranks = point.ranks
    for level, rank in ((levels.top, ranks.top), (levels.mid, ranks.mid), (levels.layer, ranks.layer)):
        if rank:
            yield family.factors(level, i, rank)


def _resplit(parts: list[tuple[Tensor, Tensor]], ranks: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
    up, down = torch.cat([u for u, _ in parts], dim=1), torch.cat([d for _, d in parts])
    yield from zip(torch.split(up, ranks, dim=1), torch.split(down, ranks), strict=True)


def _set(adapter: LowRankAdapter, up: Tensor, down: Tensor) -> None:
    adapter.B.copy_(up / adapter.scaling)
    adapter.A.copy_(down)


@torch.no_grad()
def _apart(model: nn.Module, bank: AdapterBank, folder: Path) -> float:
    """The largest difference between the updates in memory and those of the PEFT file, in proportion."""
    stored, worst, largest = load_file(folder / TENSORS), 0.0, 1e-30
    for path in bank.sites:
        up, down = (stored[f"{PREFIX}{path}.lora_{name}.weight"] for name in ("B", "A"))
        tied = pyramid_linear(model, path).delta()
        worst = max(worst, float((tied - up @ down).abs().max()))
        largest = max(largest, float(tied.abs().max()))
    return worst / largest
