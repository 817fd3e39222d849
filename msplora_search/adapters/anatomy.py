"""Finds the layer stacks and the target matrices of a transformer by its structure, not by its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from msplora_search.adapters.layer import matrix_shape
from msplora_search.adapters.roles import ROLES, targets_in_role
from msplora_search.design.pyramid import Pyramid

HEADS = ("classifier", "score", "classification_head", "qa_outputs")
"""Task heads of models that do not say which of their modules is the pretrained base."""


class AnatomyError(ValueError):
    """The model has no such target, or its layers cannot be told apart."""


class Family(NamedTuple):
    """Sites of one family, and only those, can share an adapter."""

    stack: str
    target: str
    d_in: int
    d_out: int


@dataclass(frozen=True)
class Site:
    """One adapted matrix in one layer.

    `path` is the module's name in the model, `stack` that of the layers it is one of, `target` its
    name within the layer; it maps (..., d_in) to (..., d_out).
    """

    path: str
    stack: str
    layer: int
    target: str
    d_in: int
    d_out: int

    @property
    def family(self) -> Family:
        """What it may share with sites of other layers."""
        return Family(self.stack, self.target, self.d_in, self.d_out)


@dataclass(frozen=True)
class Anatomy:
    """The sites of one layer stack; of two, where an encoder stands beside a decoder.

    Each stack gets the pyramid over its own depth, with adapters of its own.
    """

    stacks: Mapping[str, int]
    """Layers by the name of the `ModuleList` that holds them."""
    targets: tuple[str, ...]
    """Suffixes that name the sites in this model, roles resolved."""
    sites: tuple[Site, ...]
    asked: tuple[str, ...] = field(compare=False)
    """What was looked for, roles and all."""

    @property
    def stack(self) -> str:
        """Names of the stacks, for people."""
        return ", ".join(self.stacks)

    @property
    def layers(self) -> int:
        """The depth that pyramids are made for: that of the deepest stack."""
        return max(self.stacks.values())

    @property
    def most_groups(self) -> int:
        """Depth groups that fit every stack: as many as the shallowest has layers."""
        return min(self.stacks.values())

    def pyramid_for(self, stack: str, pyramid: Pyramid) -> Pyramid:
        """`pyramid` over the depth of `stack`: boundaries keep their fraction of it.

        Raises AnatomyError where there are more depth groups than layers.
        """
        layers = self.stacks[stack]
        try:
            return pyramid if pyramid.layers == layers else pyramid.at_depth(layers)
        except ValueError as error:
            raise AnatomyError(f"the stack {stack!r}: {error}") from None

    def shared_name(self, site: Site) -> str:
        """What sites that can share are called: their target, with the stack where there are several."""
        return site.target if len(self.stacks) == 1 else f"{site.stack}.{site.target}"

    def families(self) -> dict[Family, list[Site]]:
        """Sites by family, each in the order of the layers."""
        families = defaultdict(list)
        for site in self.sites:
            families[site.family].append(site)
        return dict(families)

    def count(self, pyramid: Pyramid) -> int:
        """Number of adapter parameters of `pyramid` on these sites, in closed form.

        Equals `Pyramid.count` where every layer has every target in one shape; a group without
        a member of some family needs no mid-level adapter for it.
        """
        self.require_depth(pyramid)
        total = 0
        for family, sites in self.families().items():
            own = self.pyramid_for(family.stack, pyramid)
            groups = [own.groups[own.group_of(site.layer)] for site in sites]
            mid = sum(group.mid_rank for group in set(groups))
            layer = sum(group.layer_rank for group in groups)
            total += (family.d_in + family.d_out) * (own.global_rank + mid + layer)
        return total

    def count_per_rank(self) -> int:
        """Adapter parameters of one rank unit: the sum of `d_in + d_out` over families."""
        return sum(family.d_in + family.d_out for family in self.families())

    def require_depth(self, pyramid: Pyramid) -> None:
        """Raise AnatomyError unless `pyramid` has as many layers as the (deepest) stack."""
        if pyramid.layers != self.layers:
            raise AnatomyError(
                f"the pyramid has {pyramid.layers} layers, but the stack {self.stack!r} has {self.layers}; "
                f"carry it over with Pyramid.at_depth({self.layers})"
            )


def dissect(model: nn.Module, targets: Iterable[str]) -> Anatomy:
    """Find the layers of `model` and the linear modules in them that `targets` name.

    A target is a suffix of the module's name at a dot, so `query` finds
    `encoder.layer.0.attention.self.query`; the whole name within the layer finds that one only.
    Where no module is called so, `query`, `key` and `value` are whatever plays that role;
    `attention`, `feed-forward` and `all-linear` are those modules of every layer. `STACK:TARGET`
    looks in one stack of several: `decoder:q` in the one whose name has the part `decoder`.
    Works on models of the meta device too.

    Raises AnatomyError naming the candidates when a target matches nothing, when it lies in
    several stacks of a model that is no encoder beside a decoder, and when layers share weights.
    """
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    every = list(_sites(model, lists))
    found: dict[str, Site] = {}
    asked, resolved = tuple(targets), list[str]()
    named = False
    for target in asked:
        stack, colon, name = target.rpartition(":")
        named = named or bool(colon)
        within = [site for site in every if not colon or _has_part(site.stack, stack)]
        for literal in _literal(name, within):
            matches = _matching(literal, within)
            if not matches:
                raise AnatomyError(_nothing(target, stack, every, within))
            resolved.append(stack + colon + literal)
            found.update((site.path, site) for site in matches)
    with_sites = {site.stack for site in found.values()}
    stacks = {name: len(layers) for name, layers in lists.items() if name in with_sites}
    sites = sorted(found.values(), key=lambda s: (list(stacks).index(s.stack), s.layer, s.target))
    if len(stacks) > 1 and not named and not _config(model, "is_encoder_decoder", False):
        raise AnatomyError(_ambiguous(stacks, resolved[0]))
    _require_own_weights(model, stacks)
    return Anatomy(stacks, tuple(dict.fromkeys(resolved)), tuple(sites), asked)


def head_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of the task head: outside the pretrained base, and no output embedding.

    Empty for a model that is a bare base, or that predicts tokens.
    """
    base = getattr(model, "base_model", model)
    if base is model:
        heads = [child for name, child in model.named_children() if name in HEADS]
        return [parameter for head in heads for parameter in head.parameters()]
    output = getattr(model, "get_output_embeddings", lambda: None)()
    kept = {id(p) for module in (base, output) if module is not None for p in module.parameters()}
    return [p for p in model.parameters() if id(p) not in kept]


def _sites(model: nn.Module, lists: Mapping[str, nn.ModuleList]) -> Iterator[Site]:
    """Every linear module that lies in a layer."""
    for path, module in model.named_modules():
        shape = matrix_shape(module)
        stack = _outermost_list(path, lists) if shape else None
        if shape and stack is not None:
            layer, target = path[len(stack) + 1 :].split(".", 1)
            yield Site(path, stack, int(layer), target, *shape)


def _outermost_list(path: str, lists: Mapping[str, nn.ModuleList]) -> str | None:
    """The outermost `ModuleList` that holds `path` two or more levels down: list, layer, module."""
    parts = path.split(".")
    names = (".".join(parts[:i]) for i in range(1, len(parts) - 1))
    return next((name for name in names if name in lists), None)


def _literal(name: str, sites: list[Site]) -> tuple[str, ...]:
    """`name`, or what plays that role where no module is called so."""
    if name not in ROLES or _matching(name, sites):
        return (name,)
    return targets_in_role(name, [site.target for site in sites]) or (name,)


def _matching(name: str, sites: list[Site]) -> list[Site]:
    exact = [site for site in sites if site.target == name]
    return exact or [site for site in sites if site.target.endswith("." + name)]


def _has_part(stack: str, part: str) -> bool:
    """Whether `part` is one or several whole parts of a stack's dotted name."""
    return f".{part}." in f".{stack}."


def _nothing(target: str, stack: str, every: list[Site], within: list[Site]) -> str:
    if stack and not within:
        there = ", ".join(sorted({site.stack for site in every}))
        return f"target {target!r}: there is no stack of layers {stack!r}; there are: {there or 'none'}"
    names = ", ".join(sorted({site.target.rsplit(".", 1)[-1] for site in within}))
    return f"target {target!r} matches no linear module; there are: {names or 'none'}"


def _ambiguous(stacks: Mapping[str, int], target: str) -> str:
    listed = ", ".join(f"{name} ({layers} layers)" for name, layers in sorted(stacks.items()))
    name = min(stacks)
    part = next((p for p in name.split(".") if sum(_has_part(stack, p) for stack in stacks) == 1), name)
    return (
        f"the targets lie in more than one stack of layers: {listed}; name one of them before the target, "
        f"such as {part}:{target}"
    )


def _require_own_weights(model: nn.Module, stacks: Mapping[str, int]) -> None:
    """Refuse a model that applies the same layer several times, as ALBERT does: it has nothing left to share."""
    told, groups = _config(model, "num_hidden_layers", None), _config(model, "num_hidden_groups", None)
    if isinstance(told, int) and isinstance(groups, int) and groups < told:
        raise AnatomyError(
            f"{type(model).__name__} applies the {groups} layer(s) of {', '.join(stacks)} {told} times: its "
            "layers share all weights, so there is no depth to share adapters over; take a model whose layers "
            "have their own"
        )


def _config(model: nn.Module, name: str, default: object) -> object:
    return getattr(getattr(model, "config", None), name, default)
