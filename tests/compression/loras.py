"""LoRAs as PEFT writes them, on random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertForSequenceClassification

from tests.small import save_model

LAYERS = 6


def base(folder: Path) -> BertForSequenceClassification:
    """A random BERT of six layers."""
    if not (folder / "model").is_dir():
        save_model(folder / "model", LAYERS)
    return BertForSequenceClassification.from_pretrained(folder / "model")


def save_lora(folder: Path, shared: bool = False, **changes: Any) -> Path:
    """A LoRA of rank 4 with random factors; `shared`: the pyramid 2/1/1 in groups of 2 and 4 layers."""
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["query", "value"], **changes})
    model = get_peft_model(base(folder), config)
    draw = torch.Generator().manual_seed(0)
    drawn: dict[tuple[Any, ...], torch.Tensor] = {}

    def part(key: tuple[Any, ...], rank: int) -> torch.Tensor:
        return drawn.setdefault(key, torch.randn(rank, 32, generator=draw))

    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            layer, kind = int(name.split("layer.")[1].split(".")[0]), ("query" in name, ".lora_A" in name)
            rank = min(p for p in parameter.shape)
            keys = [("G", 2), (f"M{layer < 2}", 1), (f"L{layer}", 1)] if shared else [(f"L{layer}", rank)]
            rows = torch.cat([part((level, *kind), r) for level, r in keys])
            parameter.data.copy_((rows if kind[1] else rows.T) * 0.1)
    model.save_pretrained(str(folder / "lora"))
    return folder / "lora"


def logits(folder: Path, adapter: Path) -> torch.Tensor:
    """Of the base with a PEFT adapter, on some tokens."""
    return outputs(PeftModel.from_pretrained(base(folder), str(adapter)))


@torch.no_grad()
def outputs(model: Any) -> torch.Tensor:
    """Logits for fixed tokens."""
    found: torch.Tensor = model.eval()(input_ids=torch.arange(1, 17).reshape(2, 8)).logits
    return found
