"""What a pyramid costs on the sites of a model, in closed form: see `design.costs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from msplora_search.adapters.anatomy import Anatomy
from msplora_search.adapters.peft_format import METADATA, PREFIX, factor_name, modules_of
from msplora_search.design.costs import Costs, Stored, file_size
from msplora_search.design.pyramid import Pyramid

KINDS = {
    torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16", torch.float16: "F16",
    torch.int64: "I64", torch.int32: "I32", torch.bool: "BOOL", torch.uint8: "U8",
}  # fmt: skip


@dataclass(frozen=True)
class Pricing:
    """What pyramids cost on some sites."""

    anatomy: Anatomy
    beside: tuple[Stored, ...] | None
    """What is exported with the adapters: the task head. None: not known, and so no bytes are."""
    _sizes: dict[tuple[int, frozenset[str]], int] = field(default_factory=dict, repr=False)
    """Bytes, by rank of the file and sites without an adapter: what is unrolled knows no other difference."""

    def costs(self, pyramid: Pyramid) -> Costs:
        """All of one pyramid. Raises AnatomyError where it does not fit."""
        anatomy = self.anatomy
        params, layers = anatomy.count(pyramid), {stack: self._ranks(stack, pyramid) for stack in anatomy.stacks}
        ranks = [layers[site.stack][site.layer] for site in anatomy.sites]
        return Costs(params, self._bytes(ranks), max(ranks), self._flops(ranks))

    def lora(self, rank: int) -> Costs:
        """Those of plain LoRA, which shares nothing."""
        ranks = [rank] * len(self.anatomy.sites)
        return Costs(self._flops(ranks), self._bytes(ranks), rank, self._flops(ranks))

    def _flops(self, ranks: list[int]) -> int:
        sites = self.anatomy.sites
        return sum(rank * (site.d_in + site.d_out) for rank, site in zip(ranks, sites, strict=True))

    def _ranks(self, stack: str, pyramid: Pyramid) -> list[int]:
        """The sum of the three levels in each layer of a stack."""
        own = self.anatomy.pyramid_for(stack, pyramid)
        return [own.global_rank + g.mid_rank + g.layer_rank for g in own.groups for _ in range(g.layers)]

    def _bytes(self, ranks: list[int]) -> int | None:
        if self.beside is None:
            return None
        bare = frozenset(s.path for rank, s in zip(ranks, self.anatomy.sites, strict=True) if not rank)
        place = max(ranks), bare
        if place not in self._sizes:
            self._sizes[place] = file_size([*self._factors(*place), *self.beside], METADATA)
        return self._sizes[place]

    def _factors(self, rank: int, bare: frozenset[str]) -> Iterator[Stored]:
        """The tensors of the adapters in a file of one rank."""
        for site in self.anatomy.sites:
            if site.path not in bare:
                yield Stored(factor_name(site.path, "A"), "F32", (rank, site.d_in))
                yield Stored(factor_name(site.path, "B"), "F32", (site.d_out, rank))


def stored_beside(model: nn.Module, head: Iterable[nn.Parameter]) -> tuple[Stored, ...]:
    """The tensors that an export of a bare `model` has beside the adapters, where `head` trains with them."""
    trained = {id(parameter) for parameter in head}
    modules = modules_of(model, {name for name, p in model.named_parameters() if id(p) in trained})
    return tuple(
        Stored(PREFIX + name, KINDS[tensor.dtype], tuple(tensor.shape))
        for name, tensor in model.state_dict().items()
        if any(name.startswith(f"{module}.") for module in modules)
    )
