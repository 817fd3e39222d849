"""Number formats of the proxy: what is stored, what is multiplied, and where fp32 stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@dataclass(frozen=True)
class Precision:
    """fp32 throughout; or bf16 products, with sums, norms, adapters and head in fp32."""

    dtype: torch.dtype
    device: torch.device

    @classmethod
    def named(cls, name: str, device: torch.device) -> Precision:
        """`fp32`, `bf16`, or `auto`: bf16 where the hardware multiplies it fast."""
        bf16 = name == "bf16" or (name == "auto" and _fast_bf16(device))
        return cls(torch.bfloat16 if bf16 else torch.float32, device)

    def store(self, model: nn.Module, trained: Iterable[nn.Parameter]) -> None:
        """Keep the frozen linear weights in the number format that they are multiplied in.

        Autocast would otherwise cast them anew in every step.
        """
        kept = {id(parameter) for parameter in trained}
        for module in model.modules():
            if isinstance(module, nn.Linear) and id(module.weight) not in kept:
                module.to(self.dtype)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Around a forward pass that is differentiated.

        On a CPU the backward pass of the fused bf16 attention kernel takes longer than the rest of
        the layer; the plain formulation does not.
        """
        with ExitStack() as stack:
            stack.enter_context(self._autocast())
            if self.dtype == torch.bfloat16 and self.device.type == "cpu":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Around a forward pass that is not differentiated."""
        with torch.inference_mode(), self._autocast():
            yield

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Without these instructions bf16 is emulated, and slower than fp32.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in probes)
