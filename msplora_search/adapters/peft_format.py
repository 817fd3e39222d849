"""Exact conversion to stock PEFT LoRA: what PEFT loads computes what the pyramid computes.

Per site `A = cat(s * A_level)` and `B = cat(B_level)`, rank the sum of ranks, `lora_alpha` equal to
it, so that PEFT's own scaling is 1. Sharing is unrolled by this: the file is larger than the
pyramid, and training it on would untie what was shared.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from msplora_search.adapters.bank import bank_of, pyramid_linear, trained_beside
from msplora_search.files import install

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."


@dataclass(frozen=True)
class PeftAdapter:
    """A LoRA adapter as PEFT has it on disk."""

    tensors: dict[str, Tensor]
    ranks: dict[str, int]
    """Rank by module path."""
    modules_to_save: tuple[str, ...]
    """Modules that are stored whole: the task head."""
    fan_in_fan_out: bool = False
    """Whether the adapted weights are stored as (d_in, d_out), as GPT-2's are."""

    @property
    def adapter_params(self) -> int:
        """Numbers in the low-rank factors, sharing unrolled."""
        return sum(t.numel() for name, t in self.tensors.items() if ".lora_" in name)

    def save(self, folder: str | Path, base_model: str, task_type: str | None = None) -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors` for `PeftModel.from_pretrained`."""
        from peft import LoraConfig

        rank = Counter(self.ranks.values()).most_common(1)[0][0]
        other = {f"^{re.escape(path)}": r for path, r in self.ranks.items() if r != rank}
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            lora_dropout=0.0,
            use_rslora=False,
            fan_in_fan_out=self.fan_in_fan_out,
            target_modules=sorted(self.ranks),
            rank_pattern=other,
            alpha_pattern=dict(other),
            modules_to_save=list(self.modules_to_save) or None,
            task_type=task_type,
            base_model_name_or_path=base_model,
            inference_mode=True,
        )

        def fill(part: Path) -> None:
            config.save_pretrained(str(part))
            save_file(self.tensors, part / TENSORS, metadata={"format": "pt"})

        install(Path(folder), fill, last=CONFIG)


@torch.no_grad()
def to_peft(model: nn.Module) -> PeftAdapter:
    """The adapters of an adapted model, unrolled, and what trains beside them.

    Raises ValueError when the model is not adapted.
    """
    bank = bank_of(model)
    tensors: dict[str, Tensor] = {}
    for path, adapters in bank.sites.items():
        down = torch.cat([a.A * a.scaling for a in adapters])
        up = torch.cat([a.B for a in adapters], dim=1)
        tensors[f"{PREFIX}{path}.lora_A.weight"] = down.contiguous().cpu()
        tensors[f"{PREFIX}{path}.lora_B.weight"] = up.contiguous().cpu()
    modules = _modules_of(model, set(trained_beside(model)))
    whole = model.state_dict()
    for module in modules:
        for name, tensor in whole.items():
            if name.startswith(f"{module}."):
                tensors[PREFIX + name] = tensor.contiguous().cpu()
    ranks = {path: sum(a.rank for a in adapters) for path, adapters in bank.sites.items()}
    return PeftAdapter(tensors, ranks, modules, any(pyramid_linear(model, path).is_transposed for path in ranks))


def _modules_of(model: nn.Module, trained: set[str]) -> tuple[str, ...]:
    """The largest modules whose parameters are all among `trained`, which they cover."""
    found: list[str] = []
    for path, module in model.named_modules():
        own = {f"{path}.{name}" for name, _ in module.named_parameters()}
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if path and own and own <= trained and not inside:
            found.append(path)
    return tuple(found)
