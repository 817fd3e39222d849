"""One low-rank pair, and a linear layer that adds several of them in one product."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

RANK_MULTIPLE = 16
"""The stacked rank is filled up with zeros to a multiple of this.

A CPU keeps compiled kernels for every shape that it has met: without the filling, every new rank
pyramid of a search took some 35 MB more memory, and the time to compile them.
"""


def matrix_shape(module: nn.Module) -> tuple[int, int] | None:
    """(d_in, d_out) of a module that multiplies by one matrix; None for any other.

    GPT-2's `Conv1D` is a linear layer that stores its weight as (d_in, d_out).
    """
    match module:
        case nn.Linear():
            return module.in_features, module.out_features
        case Conv1D():
            return module.nx, module.nf
        case _:
            return None


class LowRankAdapter(nn.Module):
    """The update `scaling * B A x` with A: (rank, d_in) and B: (d_out, rank), both fp32.

    A starts Kaiming-uniform with a = sqrt 5, that is uniform in +-1/sqrt(d_in); B starts at zero
    (LoRA, arXiv 2106.09685), so a fresh adapter changes nothing. `scaling` is the factor itself (see
    `design.scaling.Scaling.factor`).
    """

    def __init__(
        self, d_in: int, d_out: int, rank: int, scaling: float, device: torch.device | None = None
    ) -> None:
        super().__init__()
        self.rank = rank
        self.scaling = scaling
        self.A = nn.Parameter(torch.empty(rank, d_in, device=device, dtype=torch.float32))
        self.B = nn.Parameter(torch.empty(d_out, rank, device=device, dtype=torch.float32))
        self.reset(torch.Generator().manual_seed(0))

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw A anew from the CPU `generator` (the same numbers on every device) and zero B."""
        bound = 1 / math.sqrt(self.A.shape[1])
        drawn = torch.empty(self.A.shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
        self.A.copy_(drawn)
        self.B.zero_()

    def delta(self) -> Tensor:
        """The dense update of the weight, (d_out, d_in)."""
        return self.scaling * (self.B @ self.A)


class PyramidLinear(nn.Module):
    """A frozen linear layer plus the adapters of all levels, `h = W x + sum_i s_i B_i A_i x`.

    The adapters belong to the bank: this module only refers to them, so a shared pair exists
    once in the model's parameters and in its state.

    In training mode a share `dropout` of x is zeroed on its way into the adapters, and the rest scaled up by as
    much: one mask for all levels, so that they stay one product, and the same as PEFT's `lora_dropout` does to
    the one LoRA that they amount to.
    """

    def __init__(self, base: nn.Module, adapters: tuple[LowRankAdapter, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.training = base.training
        self.dropout = dropout
        self.off = False  # see `switch.adapters_off`
        shape = matrix_shape(base)
        assert shape is not None
        d_in, d_out = shape
        self.base = base
        self._adapters = adapters
        spare = -sum(a.rank for a in adapters) % RANK_MULTIPLE
        device = adapters[0].A.device
        scales = [torch.full((a.rank, 1), a.scaling, device=device) for a in adapters]
        self.scale: Tensor
        self.spare_down: Tensor
        self.spare_up: Tensor
        self.register_buffer("scale", torch.cat([*scales, torch.ones(spare, 1, device=device)]), persistent=False)
        self.register_buffer("spare_down", torch.zeros(spare, d_in, device=device), persistent=False)
        self.register_buffer("spare_up", torch.zeros(d_out, spare, device=device), persistent=False)

    @property
    def adapters(self) -> tuple[LowRankAdapter, ...]:
        """The adapters added here, global level first."""
        return self._adapters

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., d_in) -> (..., d_out); one product into the stacked rank and one out of it."""
        if self.off:
            base: Tensor = self.base(x)
            return base
        down = torch.cat([*(a.A for a in self._adapters), self.spare_down]) * self.scale  # (ranks, d_in)
        up = torch.cat([*(a.B for a in self._adapters), self.spare_up], dim=1)  # (d_out, ranks)
        seen = F.dropout(x, self.dropout, self.training) if self.dropout else x
        hidden = F.linear(seen, down.to(x))  # also to its device, where layers lie on several
        return torch.add(self.base(x), F.linear(hidden, up.to(x)))

    @property
    def weight(self) -> Tensor:
        """The base weight: some models, T5 among them, look at its format."""
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def is_transposed(self) -> bool:
        """Whether the base stores its weight as (d_in, d_out)."""
        return isinstance(self.base, Conv1D)

    @torch.no_grad()
    def delta(self) -> Tensor:
        """The dense update of the weight by all levels, (d_out, d_in), fp32."""
        return torch.stack([a.delta() for a in self._adapters]).sum(dim=0)

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update of all levels to the base weight; the sum is made in fp32 or finer.

        Raises ValueError where the weight is quantised.
        """
        weight = self.weight
        if not weight.is_floating_point():
            raise ValueError(f"weights of {weight.dtype} cannot be merged; load the base without quantization")
        delta = self.delta().T if self.is_transposed else self.delta()
        weight.copy_(weight.to(torch.promote_types(weight.dtype, torch.float32)) + delta.to(weight.device))
