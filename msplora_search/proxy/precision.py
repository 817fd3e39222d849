"""Number formats of the proxy: what is stored, what is multiplied, and where fp32 stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from msplora_search.proxy.attention import use_short_attention


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

    @property
    def name(self) -> str:
        """`fp32` or `bf16`."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    def prepare(self, model: nn.Module, trained: Iterable[nn.Parameter]) -> None:
        """Bring `model` into this number format: all but `trained` is stored as it is computed with.

        Autocast would otherwise cast the frozen weights anew in every step. Embeddings and norms are
        stored so too, which keeps all that passes from layer to layer in the format of the products;
        norms still sum in fp32. So are buffers that are tables, such as M2M100's positions, which are added
        to embeddings; those of one dimension, such as the frequencies of rotary positions, need their digits.
        """
        if self.dtype == torch.float32:
            return
        kept = {id(parameter) for parameter in trained}
        tables = [buffer for buffer in model.buffers() if buffer.dim() > 1]
        for tensor in [*model.parameters(), *tables]:
            if id(tensor) not in kept and tensor.is_floating_point():
                tensor.data = tensor.data.to(self.dtype)
        if self.device.type == "cpu":
            use_short_attention(model)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Around a forward pass that is differentiated."""
        with self._autocast():
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
