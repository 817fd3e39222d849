"""A small vision transformer for demos, trained on MNIST: no pretrained one is to be had from packages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from msplora_search.tasks.demo.data import mnist

SIZE, PATCH, EPOCHS, BATCH, RATE = 28, 7, 14, 64, 2e-3
SHIFT = 2
"""Pixels by which a training image is moved at most, in each direction."""


def pretrain(folder: Path) -> float:
    """Train on nine tenths of `demo:mnist`, write model and image processor into `folder`.

    Returns the accuracy on the other tenth. Only the base is written, without the classes' head.
    """
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    rows = mnist()
    images = torch.from_numpy(np.stack([np.asarray(row["image"]) for row in rows])).float() / 127.5 - 1
    labels = torch.tensor([int(str(row["label"])) for row in rows])
    order = generator.permutation(len(rows))
    held, kept = order[: len(rows) // 10], order[len(rows) // 10 :]
    config = ViTConfig(
        hidden_size=96, num_hidden_layers=6, num_attention_heads=4, intermediate_size=192, image_size=SIZE,
        patch_size=PATCH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    config.num_labels = 10
    model: Any = ViTForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    steps = EPOCHS * math.ceil(len(kept) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        shuffled = generator.permutation(kept)
        for start in range(0, len(shuffled), BATCH):
            rows_now = shuffled[start : start + BATCH]
            scores = model(pixel_values=_moved(images[rows_now], generator)).logits
            F.cross_entropy(scores, labels[rows_now]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        found = model(pixel_values=images[held][:, None].expand(-1, 3, -1, -1)).logits.argmax(dim=-1)
    model.vit.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return float((found == labels[held]).float().mean())


def _moved(images: Tensor, generator: np.random.Generator) -> Tensor:
    """images: (batch, height, width), each shifted by its own way -> (batch, 3, height, width)."""
    padded = F.pad(images, (SHIFT, SHIFT, SHIFT, SHIFT), value=-1.0)
    places = generator.integers(0, 2 * SHIFT + 1, size=(len(images), 2))
    cut = [one[y : y + SIZE, x : x + SIZE] for one, (y, x) in zip(padded, places, strict=True)]
    return torch.stack(cut)[:, None].expand(-1, 3, -1, -1)
