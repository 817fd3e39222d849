"""A task as transformers' Trainer sees it: examples, a model that gives loss and predictions, a metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EvalPrediction
from transformers.trainer_utils import PredictionOutput

from msplora_search.results.records import Measure
from msplora_search.tasks.parts import Batch, Part
from msplora_search.tasks.task import Task


class TrainedPart(nn.Module):
    """What the Trainer sees: batches in, loss and predictions out. Its state is only what trains."""

    def __init__(self, model: nn.Module, task: Task, diverged: Callable[[float], Exception] = ValueError) -> None:
        """`diverged` makes the error that is raised for a loss that is no finite number."""
        super().__init__()
        self.diverged = diverged
        self.model = model
        self.task = task
        self.trained = {name for name, p in self.named_parameters() if p.requires_grad}
        self.register_state_dict_post_hook(_drop_frozen)  # type: ignore[no-untyped-call]
        for name in ("activation_checkpointing_enable", "gradient_checkpointing_enable", "hf_device_map"):
            if hasattr(model, name):  # what the Trainer calls where it is asked for, and looks at
                setattr(self, name, getattr(model, name))
        self.register_load_state_dict_post_hook(_miss_only_trained)  # type: ignore[no-untyped-call]

    def forward(self, inputs: dict[str, Tensor], targets: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Take a `Batch`, with the places (batch,) of its examples in their part; give loss () and predictions.

        Predictions are under the name that the Trainer looks for, and made in evaluation only.
        """
        batch = self.task.referred(self.model, Batch(inputs, targets, labels.cpu().numpy()))
        found = {"loss": self.task.loss(self.model, batch)}
        if not bool(torch.isfinite(found["loss"])):  # the Trainer looks too, and logs the last finite one instead
            raise self.diverged(found["loss"].item())
        if not self.training:
            found["logits"] = self.task.kind.predict(self.model, batch).to(labels.device)
        return found


def _drop_frozen(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    assert isinstance(module, TrainedPart)
    for name in [name for name in state if name.removeprefix(prefix) not in module.trained]:
        del state[name]


def _miss_only_trained(module: nn.Module, keys: Any) -> None:
    assert isinstance(module, TrainedPart)
    keys.missing_keys[:] = [name for name in keys.missing_keys if name in module.trained]


class PartDataset(Dataset[dict[str, Any]]):
    """The examples of a part, to be collated together; `input_ids` are for samplers that go by length."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.lengths = part.lengths

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": range(self.lengths[row]), "part": self.part, "row": row}


def collate(task: Task, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Examples of a `PartDataset` as what `TrainedPart` takes."""
    part, rows = examples[0]["part"], np.array([example["row"] for example in examples])
    batch = task.collate(part, rows)
    return {"inputs": batch.inputs, "targets": batch.targets, "labels": torch.from_numpy(rows)}


def measured(task: Task, part: Part, found: EvalPrediction | PredictionOutput) -> Measure:
    """The task's metric of what the Trainer predicted for a part, in whatever order."""
    order = np.argsort(np.asarray(found.label_ids))
    return task.measure(part, np.asarray(found.predictions)[order])
