"""The owner of all adapters of a pyramid, and how it goes on and off a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msplora_search.adapters.anatomy import Anatomy, Site, dissect, head_parameters
from msplora_search.adapters.layer import LowRankAdapter, PyramidLinear
from msplora_search.design.pyramid import Pyramid

BANK = "pyramid_bank"
"""Name under which the bank is a submodule of the adapted model."""


@dataclass(frozen=True)
class AdapterKey:
    """Which sites share an adapter: a level, the index of the group or layer there, and a family."""

    level: str
    index: int
    target: str
    d_in: int
    d_out: int

    def __str__(self) -> str:
        return f"{self.level}.{self.index}.{self.target}.{self.d_in}x{self.d_out}"


class AdapterBank(nn.Module):
    """Owns every adapter of a pyramid exactly once; `attach` makes it a submodule of the model."""

    def __init__(self, pyramid: Pyramid, anatomy: Anatomy, device: torch.device | None = None) -> None:
        super().__init__()
        anatomy.require_depth(pyramid)
        self.pyramid = pyramid
        self.anatomy = anatomy
        self.keys: list[AdapterKey] = []
        self.adapters = nn.ModuleList()
        self._by_key: dict[AdapterKey, LowRankAdapter] = {}
        of_sites = ((site.path, tuple(self._adapters_of(site, device))) for site in anatomy.sites)
        # In a group without ranks of its own, and no global level, a site stays as it is.
        self.sites: dict[str, tuple[LowRankAdapter, ...]] = {path: own for path, own in of_sites if own}
        self._before: list[tuple[nn.Parameter, bool]] = []

    def _adapters_of(self, site: Site, device: torch.device | None) -> Iterable[LowRankAdapter]:
        pyramid = self.anatomy.pyramid_for(site.stack, self.pyramid)
        group_index = pyramid.group_of(site.layer)
        group, alpha = pyramid.groups[group_index], pyramid.alpha
        levels = (
            ("global", 0, pyramid.global_rank, alpha.global_level),
            ("mid", group_index, group.mid_rank, alpha.mid_level),
            ("layer", site.layer, group.layer_rank, alpha.layer_level),
        )
        for level, index, rank, numerator in levels:
            if rank and numerator is not None:
                key = AdapterKey(level, index, self.anatomy.shared_name(site), site.d_in, site.d_out)
                yield self._adapter(key, rank, pyramid.scaling.factor(numerator, rank), device)

    def _adapter(self, key: AdapterKey, rank: int, scaling: float, device: torch.device | None) -> LowRankAdapter:
        if key not in self._by_key:
            self._by_key[key] = LowRankAdapter(key.d_in, key.d_out, rank, scaling, device)
            self.keys.append(key)
            self.adapters.append(self._by_key[key])
        return self._by_key[key]

    def reset(self, seed: int) -> None:
        """Fresh adapters. Each draws from its own stream, named by `seed` and its key.

        Two pyramids that both have an adapter of the same key and rank start it alike.
        """
        for key, adapter in self._by_key.items():
            digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
            adapter.reset(torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))

    def count(self) -> int:
        """Number of adapter parameters, counted on the tensors."""
        return sum(p.numel() for p in self.parameters())

    def state(self) -> dict[str, Tensor]:
        """Every adapter once, under readable names such as `mid.1.attention.self.query.384x384.A`."""
        return {
            f"{key}.{name}": getattr(adapter, name).detach()
            for key, adapter in self._by_key.items()
            for name in ("A", "B")
        }

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises ValueError when names or shapes differ."""
        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())
            raise ValueError(f"the adapter state is of another pyramid: {odd[0]!r} is on one side only")
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _remember(self, model: nn.Module) -> None:
        self._before = [(p, p.requires_grad) for p in model.parameters()]

    def _restore(self) -> None:
        for parameter, flag in self._before:
            parameter.requires_grad_(flag)
        self._before = []


def attach(
    model: nn.Module,
    pyramid: Pyramid,
    *,
    seed: int = 0,
    anatomy: Anatomy | None = None,
    trainable: Iterable[nn.Parameter] | None = None,
    dropout: float = 0.0,
) -> AdapterBank:
    """Adapt `model` in place: freeze its base, leave the task head trainable, add the pyramid.

    `trainable` replaces the parameters that stay trainable beside the adapters (by default
    `head_parameters(model)`). The bank becomes a submodule, so `model.parameters()`, `.to()` and
    any training loop include the adapters. The output is unchanged until they are trained. `dropout`: share of
    the adapters' input that is zeroed in training mode, see `PyramidLinear`.

    Raises ValueError when the model is adapted already, AnatomyError when a target matches
    nothing or the pyramid has another depth.
    """
    if hasattr(model, BANK):
        raise ValueError("the model is adapted already; detach(model) first")
    anatomy = anatomy or dissect(model, pyramid.targets)
    head = list(head_parameters(model) if trainable is None else trainable)
    bank = AdapterBank(pyramid, anatomy, device=next(model.parameters()).device)
    bank.reset(seed)
    bank._remember(model)
    model.requires_grad_(False)
    for parameter in head:
        parameter.requires_grad_(True)
    for path, adapters in bank.sites.items():
        model.set_submodule(path, PyramidLinear(model.get_submodule(path), adapters, dropout))
    model.add_module(BANK, bank)
    return bank


def detach(model: nn.Module) -> nn.Module:
    """Take the adapters off: the very modules, weights and `requires_grad` flags from before `attach`.

    Raises ValueError when the model is not adapted.
    """
    bank = bank_of(model)
    for path in bank.sites:
        model.set_submodule(path, pyramid_linear(model, path).base)
    delattr(model, BANK)
    bank._restore()
    return model


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """Add every update to its weight and take the adapters off: a plain model of the same outputs.

    The base weights change for good; the sums are made in fp32 or finer. Raises ValueError when
    the model is not adapted, or quantised.
    """
    bank = bank_of(model)
    for path in bank.sites:
        pyramid_linear(model, path).merge()
    return detach(model)


def bank_of(model: nn.Module) -> AdapterBank:
    """The bank of an adapted model. Raises ValueError when the model is not adapted."""
    bank = getattr(model, BANK, None)
    if not isinstance(bank, AdapterBank):
        raise ValueError("the model is not adapted; attach(model, pyramid) first")  # noqa: TRY004
    return bank


def trained_beside(model: nn.Module) -> dict[str, nn.Parameter]:
    """What trains beside the adapters of an adapted model, by name: the task head."""
    own = {id(parameter) for parameter in bank_of(model).parameters()}
    return {n: p for n, p in model.named_parameters() if p.requires_grad and id(p) not in own}


def pyramid_linear(model: nn.Module, path: str) -> PyramidLinear:
    """The adapted module at `path`."""
    module = model.get_submodule(path)
    assert isinstance(module, PyramidLinear)
    return module
