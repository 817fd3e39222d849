"""Exact conversion to stock PEFT LoRA: what PEFT loads computes what the pyramid computes.

Per site `A = cat(s * A_level)` and `B = cat(B_level)`, filled up with zeros to the largest rank of all
sites; `lora_alpha` equals that rank, so that the scaling is 1 everywhere, also for programs that know one
rank and one alpha for the whole adapter (llama.cpp's converter, vLLM). The factor s of a rank-stabilised
pyramid is in A like any other, so `use_rslora` is false. Sharing is unrolled by this: the
file is larger than the pyramid, and training it on would untie what was shared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from msplora_search.adapters.bank import bank_of, pyramid_linear, trained_beside
from msplora_search.adapters.layer import LowRankAdapter
from msplora_search.errors import InputError
from msplora_search.files import install

if TYPE_CHECKING:
    from peft import LoraConfig

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
METADATA = {"format": "pt"}


@dataclass(frozen=True)
class PeftAdapter:
    """A LoRA adapter as PEFT has it on disk: one rank, and a scaling of 1, at every site."""

    tensors: dict[str, Tensor]
    ranks: dict[str, int]
    """Rank by module path, before the filling with zeros."""
    modules_to_save: tuple[str, ...]
    """Modules that are stored whole: the task head."""
    fan_in_fan_out: bool = False
    """Whether the adapted weights are stored as (d_in, d_out), as GPT-2's are."""

    @property
    def rank(self) -> int:
        """The rank of every site in the file: the largest."""
        return max(self.ranks.values())

    @property
    def adapter_params(self) -> int:
        """Numbers in the low-rank factors, sharing unrolled, without the zeros that fill them up."""
        return sum(
            rank * (self.factor(path, "A").shape[1] + self.factor(path, "B").shape[0])
            for path, rank in self.ranks.items()
        )

    @property
    def stored_params(self) -> int:
        """Numbers in the low-rank factors as they are stored, zeros included."""
        return sum(self.factor(path, name).numel() for path in self.ranks for name in ("A", "B"))

    def save(self, folder: str | Path, base_model: str | None, task_type: str | None = None) -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors` for `PeftModel.from_pretrained`.

        `base_model`: its id on the hub; None for a folder of this machine, which PEFT, given its name, would look
        for on the hub. Other files in `folder` stay. Raises InputError where it cannot be written; an earlier
        adapter there is then untouched.
        """
        from peft import LoraConfig

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.rank,
            lora_dropout=0.0,
            use_rslora=False,
            fan_in_fan_out=self.fan_in_fan_out,
            target_modules=sorted(self.ranks),
            modules_to_save=list(self.modules_to_save) or None,
            task_type=task_type,
            base_model_name_or_path=base_model,
            inference_mode=True,
        )

        def fill(part: Path) -> None:
            config.save_pretrained(str(part))
            save_file(self.tensors, part / TENSORS, metadata=METADATA)

        try:
            install(Path(folder).resolve(), fill, last=CONFIG)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}") from None

    def factor(self, path: str, name: str) -> Tensor:
        """`A`, (rank, d_in), or `B`, (d_out, rank), of a site; the rank is that of all sites."""
        return self.tensors[factor_name(path, name)]


def config_of(
    ranks: Mapping[str, int], alphas: Mapping[str, float], modules: Sequence[str], fan_in_fan_out: bool
) -> LoraConfig:
    """A config of plain LoRA for an adapter of others: what their own says beside that is not taken over.

    `ranks` and `alphas` by module path; `modules`: names of those that are stored whole.
    """
    from peft import LoraConfig

    rank = max(ranks.values())
    return LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=sorted(ranks),
        rank_pattern={re.escape(path): own for path, own in ranks.items()},
        alpha_pattern={re.escape(path): alpha for path, alpha in alphas.items()},
        modules_to_save=list(modules) or None,
        fan_in_fan_out=fan_in_fan_out,
        inference_mode=True,
    )


@torch.no_grad()
def to_peft(model: nn.Module) -> PeftAdapter:
    """The adapters of an adapted model, unrolled, and what trains beside them.

    Raises ValueError when the model is not adapted.
    """
    bank = bank_of(model)
    ranks = {path: sum(a.rank for a in adapters) for path, adapters in bank.sites.items()}
    tensors: dict[str, Tensor] = {}
    for path, adapters in bank.sites.items():
        tensors[factor_name(path, "A")], tensors[factor_name(path, "B")] = _filled(adapters, max(ranks.values()))
    modules = modules_of(model, set(trained_beside(model)))
    whole = model.state_dict()
    for module in modules:
        for name, tensor in whole.items():
            if name.startswith(f"{module}."):
                tensors[PREFIX + name] = tensor.contiguous().cpu()
    return PeftAdapter(tensors, ranks, modules, any(pyramid_linear(model, path).is_transposed for path in ranks))


def factor_name(path: str, factor: str) -> str:
    """What factor `A` or `B` of the site at `path` is called in the file."""
    return f"{PREFIX}{path}.lora_{factor}.weight"


def _filled(adapters: tuple[LowRankAdapter, ...], rank: int) -> tuple[Tensor, Tensor]:
    """The scaled factors of a site, (rank, d_in) and (d_out, rank), with rows and columns of zeros behind."""
    down = torch.cat([a.A * a.scaling for a in adapters])
    up = torch.cat([a.B for a in adapters], dim=1)
    spare = rank - len(down)
    down = torch.cat([down, down.new_zeros(spare, down.shape[1])])
    up = torch.cat([up, up.new_zeros(up.shape[0], spare)], dim=1)
    return down.contiguous().cpu(), up.contiguous().cpu()


def modules_of(model: nn.Module, trained: set[str]) -> tuple[str, ...]:
    """The largest modules whose parameters are all among `trained`, which they cover."""
    found: list[str] = []
    for path, module in model.named_modules():
        own = {f"{path}.{name}" for name, _ in module.named_parameters()}
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if path and own and own <= trained and not inside:
            found.append(path)
    return tuple(found)
