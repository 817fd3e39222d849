"""What full training leaves: the tied pyramid, a stock PEFT adapter, the merged model, a model card.

Nothing is called delivered before the three forms agree on real batches.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from torch import Tensor, nn

from msplora_search.adapters.bank import bank_of, merge
from msplora_search.adapters.peft_format import CONFIG, TENSORS, PeftAdapter, to_peft
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.design.costs import Costs
from msplora_search.errors import InputError
from msplora_search.files import install
from msplora_search.full.cards.card import Base, Facts, model_card
from msplora_search.full.checkpoints import require_same_run
from msplora_search.full.delivered import FOLDER, RESULTS, Delivered, read_delivered, results_text
from msplora_search.full.forms.form import Form, Source
from msplora_search.full.inputs import between_texts, delivered_processor, tokens_kept
from msplora_search.full.proofs import CHECKED_ROWS, KEPT, MOST_APART, checked_logits, reload_peft, require_equal
from msplora_search.full.sentence_files import write_sentence_files
from msplora_search.full.serving import Serving, measure_serving
from msplora_search.full.training import Trained, is_first_process, train_recipe
from msplora_search.search.store.folder import only_run
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.embedding import Embedding
from msplora_search.tasks.labels import class_counts
from msplora_search.tasks.passages import Passages
from msplora_search.tasks.task import Task


@dataclass(frozen=True)
class Origin:
    """What is said of a model that is delivered."""

    left: str
    """What there is where it cannot be delivered."""
    told: str | None = None
    """A sentence for the card on where it comes from; None: what the recipe says."""
    trained: bool = True
    """As the recipe says."""


TRAINED = Origin(KEPT)


def train_and_deliver(
    recipe: Recipe, output: Path, with_merged: bool = False, further: Sequence[Form] = (), measured: bool = True
) -> Delivered | None:
    """Train `recipe` and deliver it into `output`; None in processes that only help to train.

    `measured`: see `deliver`. A recipe that was delivered into `output` before, in the same forms, is not trained
    again.
    Raises InputError, see `train_recipe` and `deliver`, where a form cannot be made of such a model, and where
    another process trains in `output`.
    """
    if with_merged and recipe.backbone.quantization != "none":
        raise InputError(
            f"--merge: {recipe.backbone.quantization} weights cannot be merged; leave it out, or set "
            "backbone.quantization to none"
        )
    for form in further:
        form.require(recipe)
    wanted = [*(["merged"] if with_merged else []), *(form.name for form in further)]
    if done := _done(recipe, output, wanted):
        return done
    if not is_first_process():  # the process that does holds the folder
        train_recipe(recipe, output).finish()
        return None
    with only_run(output):
        if done := _done(recipe, output, wanted):  # by one that has just ended
            return done
        trained = train_recipe(recipe, output)
        try:
            return deliver(recipe, trained, output, with_merged, further=further, measured=measured)
        finally:
            trained.finish()


def _done(recipe: Recipe, output: Path, wanted: Sequence[str]) -> Delivered | None:
    """What was delivered; None where nothing was, or one of the `wanted` folders is missing."""
    require_same_run(recipe, output)
    done = read_delivered(recipe, output)
    return None if done is None or not all((done.folder / name).is_dir() for name in wanted) else done


def deliver(
    recipe: Recipe,
    trained: Trained,
    output: Path,
    with_merged: bool = False,
    origin: Origin = TRAINED,
    further: Sequence[Form] = (),
    measured: bool = False,
) -> Delivered:
    """Write `model/` of `output`; afterwards the model in memory is merged and no longer adapted.

    `origin`: what is said of where it comes from, and of what is left where it cannot be delivered. `measured`:
    whether some seconds are spent on what serving takes.
    Raises InputError where it cannot be written, or where the forms of the model disagree.
    """
    subject = _Subject.of(recipe, trained)
    made: list[Delivered] = []

    def fill(folder: Path) -> None:
        served = subject.write_adapters(folder)
        apart = max(subject.proven(served, origin.left), *subject.write_forms(folder, further, origin.left), 0.0)
        subject.write_models(folder, with_merged)
        serving = subject.measured(served) if measured else None
        made.append(subject.delivered(folder, output / FOLDER, apart, serving))
        (folder / "README.md").write_text(
            subject.card(folder, Facts(made[0], with_merged, origin=origin.told, trained=origin.trained), further),
            encoding="utf-8",
        )
        (folder / RESULTS).write_text(results_text(recipe, made[0]), encoding="utf-8")

    try:
        install(output / FOLDER, fill, last=RESULTS)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{output / FOLDER}: cannot be written: {said}; {origin.left}") from None
    return made[0]


@dataclass(frozen=True)
class _Subject:
    """A trained model, written form by form; `proven` merges it."""

    recipe: Recipe
    trained: Trained
    tied: Tensor
    """Its logits, before anything is merged."""
    trained_params: int
    peft: PeftAdapter
    base: Base
    processor: Any

    @classmethod
    def of(cls, recipe: Recipe, trained: Trained) -> _Subject:
        model, parts = trained.backbone.model, trained.parts
        tied = checked_logits(recipe, model, parts.task, parts.test)
        peft, processor = to_peft(model), delivered_processor(recipe)
        return cls(recipe, trained, tied, bank_of(model).count(), peft, Base.of(recipe.model), processor)

    @property
    def model(self) -> nn.Module:
        return self.trained.backbone.model

    @property
    def task(self) -> Task:
        return self.trained.parts.task

    @property
    def merges(self) -> bool:
        return self.recipe.backbone.quantization == "none"

    def write_adapters(self, folder: Path) -> nn.Module:
        """`pyramid/` and `peft/`; gives the second as a stranger loads it."""
        save_pyramid(self.model, folder / "pyramid", self.base.name)
        base = self.base.name if self.base.is_id else None
        self.peft.save(folder / "peft", base, task_type=self.task.kind.peft_type)
        self.processor.save_pretrained(folder / "peft")
        return reload_peft(self.recipe, folder / "peft", next(self.model.parameters()).device)

    def logits(self, model: nn.Module) -> Tensor:
        """Of a model that takes the same batches."""
        return checked_logits(self.recipe, model, self.task, self.trained.parts.test)

    def proven(self, served: nn.Module, left: str) -> float:
        """How far apart the PEFT form and the merged model are from it. Raises InputError where too far."""
        forms = {"PEFT": self.logits(served)}
        if self.merges:
            forms["merged"] = self.logits(merge(self.model))
        return require_equal(self.tied, forms, MOST_APART[self.recipe.backbone.dtype], left)

    def write_forms(self, folder: Path, forms: Sequence[Form], left: str) -> Iterator[float]:
        """The further forms; gives how far each is apart, where that is measured. Raises as `proven` does."""
        part = self.trained.parts.test
        first = self.task.collate(part, np.arange(min(len(part), CHECKED_ROWS)))
        source = Source(self.recipe, self.model, self.peft, self.base.name, self.processor, first, self.logits)
        for form in forms:
            if (logits := form.write(source, folder / form.name)) is not None:
                yield require_equal(self.tied, {form.name: logits}, MOST_APART[self.recipe.backbone.dtype], left)

    def write_models(self, folder: Path, with_merged: bool) -> None:
        """`merged/` where it is wanted; and of an embedding, what sentence-transformers reads."""
        if with_merged:
            save_merged(self.model, folder / "merged")
            self.processor.save_pretrained(folder / "merged")
        if isinstance(self.task.kind, Embedding):
            width, most = self.tied.shape[-1], tokens_kept(self.recipe, self.processor)
            for name in ["peft"] * self.base.is_id + ["merged"] * with_merged:  # peft/ names no folder as its base
                write_sentence_files(folder / name, self.task.kind.pooling, width, most)

    def measured(self, served: nn.Module) -> Serving | None:
        """What serving takes on this machine."""
        merged = self.model if self.merges else None
        return measure_serving(self.recipe, served, merged, self.task, self.trained.parts.test)

    def delivered(self, folder: Path, place: Path, apart: float, serving: Serving | None) -> Delivered:
        """What is told of it; `place`: where `folder` will be."""
        test, peft = self.trained.test, self.peft
        size = (folder / "peft" / TENSORS).stat().st_size
        return Delivered(
            place,
            test.metric,
            self.task.judge(self.trained.parts.test).interval(test),
            self.trained_params,
            peft.adapter_params,
            peft.stored_params,
            apart,
            Costs(self.trained_params, size, peft.rank, peft.adapter_params),
            serving,
        )

    def card(self, folder: Path, facts: Facts, forms: Sequence[Form]) -> str:
        """The README."""
        examples = self.trained.parts.test.corpus.examples
        config = json.loads((folder / "peft" / CONFIG).read_text(encoding="utf-8"))
        facts = replace(
            facts,
            counts=tuple(class_counts(self.trained.parts.test.truth, self.recipe.classes)),
            forms=tuple(forms),
            adapter=config,
            model_type=str(getattr(self.model.config, "model_type", "")),
            all_answered=isinstance(examples, Passages) and examples.all_answered,
        )
        most, between = tokens_kept(self.recipe, self.processor), between_texts(self.recipe, self.processor)
        return model_card(self.recipe, self.task.kind, most, facts, between)


def save_merged(model: nn.Module, folder: Path) -> None:
    """The merged model, with a config for those who use it."""
    ours: Any = model.config
    theirs = copy.deepcopy(ours)
    if getattr(ours, "use_cache", None) is False:  # switched off for training
        theirs.use_cache = True
    model.config = theirs
    try:
        model.save_pretrained(folder)  # type: ignore[operator]
    finally:
        model.config = ours
