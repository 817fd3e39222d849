"""Everything that is loaded once a process and shared by its trials: backbone, data, batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from msplora_search.adapters.anatomy import Anatomy
from msplora_search.adapters.bank import attach, detach
from msplora_search.adapters.costs import Pricing, stored_beside
from msplora_search.adapters.turns import Turns, require_steps
from msplora_search.design.costs import Cost, Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import LEVELS
from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError, placed
from msplora_search.proxy.batching import ProxyBatches
from msplora_search.proxy.choices import Anatomies, dissect_choices, space_in
from msplora_search.proxy.first_token import keep_first_token
from msplora_search.proxy.limit import Limit
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.rehearsal import refusing, rehearse
from msplora_search.proxy.room import Room
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.training import rung_steps, train
from msplora_search.proxy.untouched import untouched_told
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import ProxySettings, StudySettings
from msplora_search.tasks.backbone import Backbone, load_backbone
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task, prepare


@dataclass(frozen=True)
class Workbench:
    """One backbone and one proxy, on which pyramids are measured one after another."""

    settings: StudySettings
    task: Task
    backbone: Backbone
    batches: ProxyBatches
    precision: Precision
    anatomies: Anatomies
    room: Room = field(default_factory=Room)

    @classmethod
    def load(cls, settings: StudySettings) -> Workbench:
        """Load model and data, and try one step.

        Raises InputError, with the place in the study's file, for anything that it asks for in vain: also for
        a model that cannot be trained.
        """
        with placed(settings.origin):
            processor = load_processor(settings)
            task = prepare(settings, processor)
            seed, keep_dropout = settings.search.seed, settings.proxy.dropout
            backbone = load_backbone(settings, processor, task.classes, seed, keep_dropout)
            anatomies = dissect_choices(settings, backbone.model)
            space_in(settings, anatomies)
            batches = ProxyBatches.of(task, settings.proxy, seed)
            require_rungs(batches.steps, settings.proxy)
            precision, room = precision_of(settings), Room()
            largest = max(anatomies.values(), key=lambda anatomy: len(anatomy.sites))
            with refusing(settings, backbone, precision):
                _bring_into_form(settings, task, backbone, anatomies, precision)
                rehearse(settings, task, backbone, largest, precision, room)
                if settings.task.kind == "embedding":
                    told = untouched_told(task, backbone, batches, precision, room)
                    task = replace(task, notes=(*task.notes, *told))
        return cls(settings, task, backbone, batches, precision, anatomies, room)

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
        return space_in(self.settings, self.anatomies)

    def adapter_params(self, pyramid: Pyramid) -> int:
        """Adapter parameters, in closed form."""
        return self._anatomy(pyramid).count(pyramid)

    def costs(self, pyramid: Pyramid) -> Costs:
        """All that it costs, in closed form."""
        return self._pricings[pyramid.targets].costs(pyramid)

    def dearest(self, cost: Cost, rank: int) -> int:
        """What plain LoRA of a rank costs, on the choice of targets on which it costs most."""
        return max(pricing.lora(rank).of(cost) for pricing in self._pricings.values())

    @cached_property
    def _pricings(self) -> dict[tuple[str, ...], Pricing]:
        """By the choice of targets."""
        beside = stored_beside(self.backbone.model, self.backbone.head)
        return {targets: Pricing(anatomy, beside) for targets, anatomy in self.anatomies.items()}

    @property
    def head_params(self) -> int:
        """Parameters that train beside the adapters."""
        return sum(p.numel() for p in self.backbone.head)

    def params_per_rank(self) -> int:
        """Adapter parameters of one rank unit, for the largest choice of targets."""
        return max(anatomy.count_per_rank() for anatomy in self.anatomies.values())

    def lora_units(self) -> dict[str, int]:
        """Adapter parameters of plain LoRA of rank 1, by the choice of targets, their names joined by spaces."""
        return {
            " ".join(targets): anatomy.count(Pyramid.lora(1, self.layers, targets))
            for targets, anatomy in self.anatomies.items()
        }

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        """Train one pyramid from the common start; yields at each rung, and leaves the backbone bare.

        `seed`: of adapters, the order of batches, the head where the checkpoint has none, and dropout; the
        search's unless another is given. Parts are those of the search in any case. Close the iterator to stop
        early; `shelf` keeps what it takes to go on. Raises what `train` does; the time that `scale.trial_time`
        allows begins with the first step.
        """
        model = self.backbone.model
        seed = self.settings.search.seed if seed is None else seed
        self.backbone.reset_head(seed)
        anatomy = self._anatomy(pyramid)
        bank = attach(model, pyramid, seed=seed, anatomy=anatomy, trainable=self.backbone.head)
        try:
            assert bank.count() == anatomy.count(pyramid)
            torch.manual_seed(seed)  # for dropout, where it is kept
            proxy, limit = self.settings.proxy, Limit.of(self.settings.scale.trial_time)
            yield from train(
                model,
                self.task,
                self._batches(seed),
                proxy,
                learning_rate,
                self.precision,
                self.room,
                limit,
                in_training_mode=proxy.dropout or self.settings.backbone.gradient_checkpointing,
                shelf=shelf,
                turns=Turns.of(bank, proxy.optimization),
            )
        finally:
            detach(model)

    def _batches(self, seed: int) -> ProxyBatches:
        if seed == self.settings.search.seed:
            return self.batches
        return ProxyBatches.of(self.task, self.settings.proxy, seed)

    def _anatomy(self, pyramid: Pyramid) -> Anatomy:
        return self.anatomies[pyramid.targets]


def precision_of(settings: StudySettings) -> Precision:
    """What a study is computed in on this machine."""
    # A base in bf16 has an fp32 head, which only autocast brings together.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Precision.named("bf16" if settings.backbone.dtype == "bf16" else settings.proxy.precision, device)


def require_rungs(steps: int, proxy: ProxySettings) -> None:
    """Raise InputError where a proxy of so many steps has no room for its rungs, or not for its levels."""
    try:
        rung_steps(steps, proxy.rungs)
    except ValueError as error:
        raise InputError(f"proxy.rungs: {error}", "proxy.rungs") from None
    require_steps(steps, len(LEVELS), proxy.optimization, "proxy.optimization")


def _bring_into_form(
    settings: StudySettings, task: Task, backbone: Backbone, anatomies: Anatomies, precision: Precision
) -> None:
    """Bring the model to its device, cut what its head does not read, and store it as it is computed with."""
    if settings.backbone.device_map is None and settings.backbone.quantization == "none":
        backbone.model.to(precision.device)
    stacks = list(next(iter(anatomies.values())).stacks)
    if task.kind.reads_one_token and len(stacks) == 1:
        some = task.collate(task.train, np.arange(min(8, len(task.train)))).to(precision.device)
        with precision.evaluation() if settings.backbone.dtype == "bf16" else nullcontext():
            keep_first_token(backbone.model, stacks[0], some.inputs)
    precision.prepare(backbone.model, backbone.head)
