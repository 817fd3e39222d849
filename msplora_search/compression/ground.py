"""What a study gives to a LoRA: its base model and its data, on which the LoRA and its pyramids are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msplora_search.adapters.bank import detach
from msplora_search.adapters.peft_format import PREFIX
from msplora_search.compression.choosing import Judged
from msplora_search.compression.compressing import Compression, Point, Say
from msplora_search.compression.family import SiteFamily
from msplora_search.compression.levels import Ranks
from msplora_search.compression.lora import Lora
from msplora_search.compression.moments import weighted
from msplora_search.compression.writing import put_on, pyramid_of, sites_in
from msplora_search.errors import InputError
from msplora_search.full.proofs import checked_logits, reload_peft
from msplora_search.results.records import Measure
from msplora_search.settings.kinds import OF_WORDS
from msplora_search.settings.models import StudySettings
from msplora_search.settings.recipe import Recipe, RecipeTraining
from msplora_search.tasks.backbone import Backbone, load_backbone
from msplora_search.tasks.full_parts import FullParts, prepare_full
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.parts import Batch, Part
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import read_corpus
from msplora_search.text import brief, printable, several

MOST_JUDGED = 500
"""Validation rows that each point of a front is measured on."""


@dataclass(frozen=True)
class Ground:
    """The parts are those of full training: weights come from its training rows, choices from its validation rows,
    and what is told of the result from its test part.
    """

    lora: Lora
    recipe: Recipe
    """Of the LoRA itself."""
    parts: FullParts

    def recipe_of(self, point: Point, name: str, **training: Any) -> Recipe:
        """The recipe of a point, with other fields of its training."""
        return self.recipe.model_copy(
            update={
                "name": name,
                "pyramid": pyramid_of(self.lora, point).to_json(),
                "training": self.recipe.training.model_copy(update=training),
            }
        )

    def load(self) -> Backbone:
        """The base model, on the device. Raises InputError where it is not the LoRA's."""
        backbone = load_backbone(self.recipe, load_processor(self.recipe), self.recipe.classes)
        sites_in(backbone.model, self.lora, whole(self.lora))
        drawn = {id(parameter) for parameter in backbone.drawn}
        for name, parameter in backbone.model.named_parameters():
            if id(parameter) in drawn and name not in self.lora.beside:
                raise InputError(
                    f"{self.lora.folder}: holds no {brief(name)}, and {printable(self.recipe.model)} has none "
                    "either; the head that the LoRA was trained with must be in modules_to_save"
                )
        held = self.recipe.backbone
        if held.device_map is None and held.quantization == "none":
            backbone.model.to(device_here())
        return backbone

    def original(self) -> nn.Module:
        """The LoRA on a fresh base, by stock PEFT."""
        model = reload_peft(self.recipe, self.lora.folder, device_here(), self.lora.peft_config())
        return model.eval()

    def logits(self, model: nn.Module) -> Tensor:
        """For the first test examples, see `full.proofs.checked_logits`."""
        return checked_logits(self.recipe, model, self.parts.task, self.parts.test)

    def batches(self, part: Part, most: int, by_length: bool = False) -> Iterator[Batch]:
        """The first examples of a part, at most so many."""
        rows = np.arange(min(most, len(part)))
        if by_length:
            rows = rows[np.argsort(part.lengths[rows], kind="stable")]
        size = 8 if self.recipe.task.kind in OF_WORDS else 32
        for start in range(0, len(rows), size):
            yield self.parts.task.collate(part, rows[start : start + size]).to(device_here())

    @torch.no_grad()
    def measure(self, model: nn.Module, part: Part, most: int | None = None) -> Measure:
        """The task's metric on the first rows of a part."""
        model.eval()
        found, rows = [], []
        for batch in self.batches(part, most or len(part), by_length=True):
            with self._precision():
                found.append(self.parts.task.predict(model, batch))
            rows.append(batch.rows)
        predictions = np.concatenate(found)[np.argsort(np.concatenate(rows))]
        return self.parts.task.measure(part, predictions)

    def weighted(self, original: nn.Module, families: list[SiteFamily], examples: int) -> list[SiteFamily]:
        """The families, weighted by the activations of so many training examples."""
        batches = self.batches(self.parts.task.train, examples)
        with self._precision():
            return weighted(families, original, PREFIX, self.parts.task, batches)

    def judged(self, original: nn.Module, found: Compression, say: Say) -> Judged:
        """The LoRA and every point of its front on validation rows."""
        part, backbone, metric = self.parts.task.validation, self.load(), self.recipe.task.metric_label
        say(f"measuring the LoRA and {several(len(found.front), 'point')} on validation rows ...")
        lora = self.measure(original, part, MOST_JUDGED)
        points = {}
        for number, point in enumerate(found.front, start=1):
            put_on(backbone.model, found, point, backbone.head)
            points[point] = self.measure(backbone.model, part, MOST_JUDGED)
            detach(backbone.model)
            told = f"{number} of {len(found.front)}: {point.ranks}, {point.params:,} parameters"
            say(f"{told}: {metric} {points[point].metric:.4f}")
        return Judged(metric, len(lora.predictions), lora, points)

    def _precision(self) -> torch.autocast:
        bf16 = self.recipe.backbone.dtype == "bf16"
        return torch.autocast(device_here().type, torch.bfloat16, enabled=bf16)


def ground_of(settings: StudySettings, lora: Lora) -> Ground:
    """Raises InputError for a study that cannot be used."""
    processor = load_processor(settings)
    classes = read_corpus(kind_of(settings.task, processor), settings.task.dataset).classes
    parts = prepare_full(settings.task, classes, settings.training.validation_share, processor)
    recipe = Recipe(
        name=settings.name,
        model=settings.model,
        trust_remote_code=settings.trust_remote_code,
        task=settings.task,
        classes=classes,
        pyramid=pyramid_of(lora, whole(lora)).to_json(),
        training=RecipeTraining(**settings.training.model_dump(), seed=settings.search.seed),
        backbone=settings.backbone,
    )
    return Ground(lora, recipe, parts)


def whole(lora: Lora) -> Point:
    """The LoRA itself as a point."""
    return Point(Ranks(0, 0, lora.rank), ((0, lora.layers),), lora.params, 0.0)


def device_here() -> torch.device:
    """Where models compute, unless the study spreads them."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
