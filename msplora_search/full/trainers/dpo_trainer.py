"""trl's DPOTrainer on a tied pyramid: its loss in training, the program's own predictions in evaluation.

What trl would do to get tokens, references and checkpoints suits a model that it made itself; here the tokens are
those of the task, the reference is the model without its adapters, and a checkpoint holds what trains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from msplora_search.full.trainers.pyramid_trainer import Listener
from msplora_search.tasks.parts import Batch, Part
from msplora_search.tasks.preference import dataset_of
from msplora_search.tasks.task import Task
from msplora_search.tasks.tokens import pad_of

Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]


class TiedDPOTrainer(DPOTrainer):
    """Trains what requires a gradient; calls `whole_gradients` as `PyramidTrainer` does."""

    def __init__(
        self,
        task: Task,
        train_part: Part,
        diverged: Callable[[float], Exception],
        whole_gradients: Sequence[Listener],
        **named: Any,
    ) -> None:
        """`diverged` makes the error that is raised for a loss that is no finite number."""
        self.task, self.train_part, self.diverged = task, train_part, diverged
        self.whole_gradients = tuple(whole_gradients)
        model: nn.Module = named["model"]
        self.tied = model  # `model` is wrapped, where several processes train
        self.trained = {name for name, p in model.named_parameters() if p.requires_grad}
        self._forward = vars(model).get("forward")
        self._hook = model.register_load_state_dict_post_hook(self._miss_only_trained)  # type: ignore[no-untyped-call]
        super().__init__(**named)

    def let_go(self) -> None:
        """Take off the model what was put on it to train it."""
        self._hook.remove()
        vars(self.tied).pop("forward", None)
        if self._forward is not None:
            self.tied.forward = self._forward

    def training_step(self, *given: Any, **named: Any) -> Tensor:
        """That of trl."""
        loss: Tensor = super().training_step(*given, **named)  # type: ignore[no-untyped-call]
        if self.accelerator.sync_gradients:
            for listener in self.whole_gradients:
                listener(self.state.global_step, self.state.max_steps)
        return loss

    def compute_loss(self, *given: Any, **named: Any) -> Any:
        """That of trl. Raises what `diverged` makes where it is no finite number."""
        found = super().compute_loss(*given, **named)  # type: ignore[no-untyped-call]
        if not bool(torch.isfinite(found)):
            raise self.diverged(found.item())
        return found

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, predictions (batch,) and places (batch,) of the examples of a `PartDataset`."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs["labels"]
        batch = Batch(inputs["inputs"], inputs["targets"], labels.cpu().numpy())
        with torch.no_grad(), self.compute_loss_context_manager():
            batch = self.task.referred(self.tied, batch)
            loss = self.task.loss(self.tied, batch)
            return loss, self.task.kind.predict(self.tied, batch).to(labels.device), labels

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """The tokens are made already."""
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:
        """The references of the task, of the training examples; in evaluation it asks for them itself."""
        if not hasattr(dataset, "add_column"):  # no data set of `datasets`
            return dataset
        found = []
        with self.compute_loss_context_manager():
            for row in range(len(self.train_part)):
                batch = self.task.collate(self.train_part, np.array([row])).to(self.args.device)
                found.append(self.task.referred(self.tied, batch).inputs["reference"][0].tolist())
        chosen, rejected = zip(*found, strict=True)
        return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)

    def _miss_only_trained(self, module: nn.Module, keys: Any) -> None:
        keys.missing_keys[:] = [name for name in keys.missing_keys if name in self.trained]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write what trains, and the arguments."""
        folder = Path(str(output_dir or self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        parameters = self.tied.named_parameters()
        kept = {name: p.detach().cpu().contiguous() for name, p in parameters if name in self.trained}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: the delivery has its own."""

    def _send_telemetry(self) -> None:
        """Tell nobody of a training."""


def preference_trainer(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    train_part: Part,
    arguments: TrainingArguments,
    collate: Collator,
    validation: Any,
    compute_metrics: Callable[[Any], dict[str, float]],
    callbacks: list[TrainerCallback],
    whole_gradients: Sequence[Listener],
    diverged: Callable[[float], Exception],
) -> Trainer:
    """A trainer of `train_part` that evaluates on `validation`, whose examples `collate` makes batches of."""
    theirs = DataCollatorForPreference(pad_token_id=pad_of(tokenizer))
    found: Trainer = TiedDPOTrainer(
        task,
        train_part,
        diverged,
        whole_gradients,
        model=model,
        args=arguments,
        processing_class=tokenizer,
        data_collator=lambda examples: (theirs if "prompt_ids" in examples[0] else collate)(examples),
        train_dataset=dataset_of(train_part),
        eval_dataset=validation,
        compute_metrics=compute_metrics,
        callbacks=callbacks,
    )
    return found
