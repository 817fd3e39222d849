"""Finds the layer stack and the target matrices of a transformer by its structure, not by its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from msplora_search.design.pyramid import Pyramid


class AnatomyError(ValueError):
    """The model has no such target, or its layers cannot be told apart."""


@dataclass(frozen=True)
class Site:
    """One adapted matrix in one layer.

    `path` is the module's name in the model, `target` its name within the layer; the weight has
    shape (d_out, d_in).
    """

    path: str
    layer: int
    target: str
    d_in: int
    d_out: int

    @property
    def family(self) -> tuple[str, int, int]:
        """Sites of one family, and only those, can share an adapter."""
        return self.target, self.d_in, self.d_out


@dataclass(frozen=True)
class Anatomy:
    """The sites of one layer stack: `stack` is the name of the `ModuleList` that holds the layers."""

    stack: str
    layers: int
    sites: tuple[Site, ...]

    def families(self) -> dict[tuple[str, int, int], list[Site]]:
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
        for (_, d_in, d_out), sites in self.families().items():
            groups = [pyramid.groups[pyramid.group_of(site.layer)] for site in sites]
            mid = sum(group.mid_rank for group in set(groups))
            layer = sum(group.layer_rank for group in groups)
            total += (d_in + d_out) * (pyramid.global_rank + mid + layer)
        return total

    def count_per_rank(self) -> int:
        """Adapter parameters of one rank unit: the sum of `d_in + d_out` over families."""
        return sum(d_in + d_out for _, d_in, d_out in self.families())

    def require_depth(self, pyramid: Pyramid) -> None:
        """Raise AnatomyError unless `pyramid` has as many layers as the stack."""
        if pyramid.layers != self.layers:
            raise AnatomyError(
                f"the pyramid has {pyramid.layers} layers, but the stack {self.stack!r} has {self.layers}; "
                f"carry it over with Pyramid.at_depth({self.layers})"
            )


def dissect(model: nn.Module, targets: Iterable[str]) -> Anatomy:
    """Find the layer stack whose layers hold linear modules named by `targets`.

    A target is a suffix of the module's name at a dot: `query` finds
    `encoder.layer.0.attention.self.query`. Works on models of the meta device too.

    Raises AnatomyError naming the candidates when a target matches nothing, or when the targets
    lie in more than one stack.
    """
    found: dict[str, list[Site]] = defaultdict(list)
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    linears = list(_linears_in_layers(model, lists))
    for target in targets:
        matches = [(stack, site) for stack, site in linears if _has_suffix(site.target, target)]
        if not matches:
            names = ", ".join(sorted({site.target.rsplit(".", 1)[-1] for _, site in linears}))
            raise AnatomyError(f"target {target!r} matches no linear module; there are: {names or 'none'}")
        for stack, site in matches:
            if site not in found[stack]:
                found[stack].append(site)
    if len(found) > 1:
        raise AnatomyError(
            f"the targets lie in more than one stack of layers: {', '.join(sorted(found))}; "
            "name a longer suffix that is found in one of them only"
        )
    ((stack, sites),) = found.items()
    return Anatomy(stack, len(lists[stack]), tuple(sorted(sites, key=lambda s: (s.layer, s.target))))


def head_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of the task head: outside the pretrained base, and no output embedding.

    Empty for a model that is a bare base.
    """
    base = getattr(model, "base_model", model)
    output = getattr(model, "get_output_embeddings", lambda: None)()
    kept = {id(p) for module in (base, output) if module is not None for p in module.parameters()}
    return [p for p in model.parameters() if id(p) not in kept]


def _linears_in_layers(model: nn.Module, lists: dict[str, nn.ModuleList]) -> Iterator[tuple[str, Site]]:
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear):
            stack = _outermost_list(path, lists)
            if stack is not None:
                layer, target = path[len(stack) + 1 :].split(".", 1)
                yield stack, Site(path, int(layer), target, module.in_features, module.out_features)


def _outermost_list(path: str, lists: dict[str, nn.ModuleList]) -> str | None:
    """The outermost `ModuleList` that holds `path` two or more levels down: list, layer, module."""
    parts = path.split(".")
    names = (".".join(parts[:i]) for i in range(1, len(parts) - 1))
    return next((name for name in names if name in lists), None)


def _has_suffix(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith("." + suffix)
