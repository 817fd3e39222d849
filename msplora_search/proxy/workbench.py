"""Everything that is loaded once a process and shared by its trials: backbone, data, batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from msplora_search.adapters.anatomy import Anatomy, AnatomyError, dissect
from msplora_search.adapters.bank import attach, detach
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError
from msplora_search.proxy.batching import ProxyBatches
from msplora_search.proxy.first_token import keep_first_token
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.training import rung_steps, train
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.backbone import Backbone, load_backbone, load_processor
from msplora_search.tasks.task import Task, prepare


@dataclass(frozen=True)
class Workbench:
    """One backbone and one proxy, on which pyramids are measured one after another."""

    settings: StudySettings
    task: Task
    backbone: Backbone
    batches: ProxyBatches
    precision: Precision
    anatomies: dict[tuple[str, ...], Anatomy]
    """By the targets of a pyramid, for every choice of targets of the space, in its order."""

    @classmethod
    def load(cls, settings: StudySettings) -> Workbench:
        """Load model and data. Raises InputError for anything that the study file asks for in vain."""
        processor = load_processor(settings)
        task = prepare(settings, processor)
        backbone = load_backbone(
            settings, processor, len(task.classes), settings.search.seed, settings.proxy.dropout
        )
        anatomies = _dissect(settings, backbone)
        batches = ProxyBatches.of(task, settings.proxy, settings.search.seed)
        try:
            rung_steps(batches.steps, settings.proxy.rungs)
        except ValueError as error:
            raise InputError(f"proxy.rungs: {error}") from None
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if settings.backbone.device_map is None and settings.backbone.quantization == "none":
            backbone.model.to(device)
        # What is loaded in bf16 has an fp32 head, which only autocast brings together.
        in_bf16 = settings.backbone.dtype == "bf16"
        precision = Precision.named("bf16" if in_bf16 else settings.proxy.precision, device)
        stacks = list(next(iter(anatomies.values())).stacks)
        if task.kind.reads_one_token and len(stacks) == 1:
            some = task.collate(task.train, np.arange(min(8, len(task.train)))).to(device)
            with precision.evaluation() if in_bf16 else nullcontext():
                keep_first_token(backbone.model, stacks[0], some.inputs)
        precision.prepare(backbone.model, backbone.head)
        return cls(settings, task, backbone, batches, precision, anatomies)

    @property
    def layers(self) -> int:
        """Depth of the stack."""
        return next(iter(self.anatomies.values())).layers

    @property
    def steps(self) -> int:
        """Training steps of one proxy."""
        return self.batches.steps

    def space(self) -> SearchSpace:
        """The search space for this depth. Raises InputError where nothing fits it."""
        targets = tuple(anatomy.targets for anatomy in self.anatomies.values())
        most_groups = min(anatomy.most_groups for anatomy in self.anatomies.values())
        try:
            return self.settings.space.for_depth(
                self.layers, self.settings.proxy.learning_rate, targets, most_groups
            )
        except ValueError as error:
            raise InputError(f"space: {error} (model {self.settings.model})") from None

    def adapter_params(self, pyramid: Pyramid) -> int:
        """Adapter parameters, in closed form."""
        return self._anatomy(pyramid).count(pyramid)

    @property
    def head_params(self) -> int:
        """Parameters that train beside the adapters."""
        return sum(p.numel() for p in self.backbone.head)

    def params_per_rank(self) -> int:
        """Adapter parameters of one rank unit, for the largest choice of targets."""
        return max(anatomy.count_per_rank() for anatomy in self.anatomies.values())

    def measure(self, pyramid: Pyramid, learning_rate: float) -> Iterator[Evaluation]:
        """Train one pyramid from the common start; yields at each rung, and leaves the backbone bare.

        Close the iterator to stop early. Raises DivergedError when the loss is no number.
        """
        model = self.backbone.model
        self.backbone.reset_head()
        seed = self.settings.search.seed
        anatomy = self._anatomy(pyramid)
        bank = attach(model, pyramid, seed=seed, anatomy=anatomy, trainable=self.backbone.head)
        try:
            assert bank.count() == anatomy.count(pyramid)
            torch.manual_seed(seed)  # for dropout, where it is kept
            proxy, recomputes = self.settings.proxy, self.settings.backbone.gradient_checkpointing
            yield from train(
                model, self.task, self.batches, proxy, learning_rate, self.precision, proxy.dropout or recomputes
            )
        finally:
            detach(model)

    def _anatomy(self, pyramid: Pyramid) -> Anatomy:
        return self.anatomies[pyramid.targets]


def _dissect(settings: StudySettings, backbone: Backbone) -> dict[tuple[str, ...], Anatomy]:
    found: dict[tuple[str, ...], Anatomy] = {}
    for targets in settings.space.targets:
        try:
            anatomy = dissect(backbone.model, targets)
            found.setdefault(tuple(sorted(anatomy.targets)), anatomy)
        except AnatomyError as error:
            raise InputError(f"space.targets {list(targets)} on model {settings.model}: {error}") from None
    depths = {anatomy.layers for anatomy in found.values()}
    if len(depths) > 1:
        raise InputError(f"space.targets: the choices lie in stacks of different depths {sorted(depths)}")
    return found
