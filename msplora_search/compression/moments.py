"""How much each input direction of a site counts: second moments of what comes in, over some examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from msplora_search.compression.family import SiteFamily
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.task import Task

RIDGE = 1e-2
"""Of the mean second moment of a direction, added to that of each: few examples do not show all."""


@dataclass
class Moments:
    """Sums over the tokens that a site has seen."""

    right: Tensor
    """(d_in, q), on the site's device."""
    products: Tensor
    """(q, q), fp64."""
    squares: float = 0.0
    tokens: int = 0

    @torch.no_grad()
    def add(self, inputs: Tensor) -> None:
        """Inputs (tokens, d_in)."""
        seen = inputs.float()
        inner = (seen @ self.right.to(seen)).double()
        self.products += (inner.T @ inner).to(self.products)
        self.squares += float(seen.square().sum())
        self.tokens += len(seen)

    @property
    def mean(self) -> Tensor:
        """(q, q), regularised, on the CPU."""
        ridge = RIDGE * self.squares / len(self.right) or 1.0
        found = self.products.cpu() + ridge * torch.eye(len(self.products), dtype=torch.float64)
        return found / max(1, self.tokens)


def weighted(
    families: Sequence[SiteFamily], model: nn.Module, prefix: str, task: Task, batches: Iterable[Batch]
) -> list[SiteFamily]:
    """The families, weighted by what comes into each site while `model` computes `batches`.

    `prefix`: what stands before the sites' paths in `model`. Moments are gathered in the directions of the updates
    alone, so that they are small: the error of an update from their span needs no others. What is padded
    does not count.
    """
    found: dict[str, Moments] = {}
    mask: list[Tensor | None] = [None]

    def watch(path: str, module: nn.Module, right: Tensor) -> torch.utils.hooks.RemovableHandle:
        found[path] = Moments(right, torch.zeros(right.shape[1], right.shape[1], dtype=torch.float64))

        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found[path].add(_real(inputs[0], mask[0]))

        return module.register_forward_pre_hook(look)

    hooks = [
        watch(site.path, model.get_submodule(prefix + site.path), family.right)
        for family in families
        for site in family.sites
    ]

    def remember(_: nn.Module, __: tuple[Any, ...], named: dict[str, Any]) -> None:
        mask[0] = _rows(named.get("attention_mask"))

    hooks.append(model.register_forward_pre_hook(remember, with_kwargs=True))
    try:
        model.eval()
        with torch.no_grad():
            for batch in batches:
                task.kind.outputs(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    means = {path: moments.mean for path, moments in found.items()}
    return [family.weighted(means) for family in families]


def _rows(mask: Tensor | None) -> Tensor | None:
    """A mask as (sequences, tokens), also where an example is several sequences, as models take choices."""
    return mask if mask is None or mask.dim() < 3 else mask.reshape(-1, mask.shape[-1])


def _real(inputs: Tensor, mask: Tensor | None) -> Tensor:
    """(batch, tokens, d_in) or (tokens, d_in) as (real tokens, d_in).

    A mask of another length, as a decoder's inputs have beside an encoder's, says nothing.
    """
    if mask is not None and inputs.shape[:-1] == mask.shape:
        return inputs[mask.to(inputs.device).bool()]
    return inputs.reshape(-1, inputs.shape[-1])
