"""What full training leaves: the tied pyramid, a stock PEFT adapter, the merged model, a model card.

Nothing is called delivered before the three forms agree on real batches.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from msplora_search.adapters.bank import bank_of, merge
from msplora_search.adapters.peft_format import CONFIG, TENSORS, to_peft
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.design.costs import Costs
from msplora_search.errors import InputError
from msplora_search.files import install
from msplora_search.full.card import Base, Facts, model_card
from msplora_search.full.delivered import FOLDER, RESULTS, Delivered, read_delivered, results_text
from msplora_search.full.forms.form import Form, Source
from msplora_search.full.identity import require_same_run
from msplora_search.full.sentence_files import write_sentence_files
from msplora_search.full.serving import measure_serving
from msplora_search.full.training import Trained, is_first_process, train_recipe
from msplora_search.search.store.folder import only_run
from msplora_search.settings.kinds import OF_DECODERS, OF_SEVERAL
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.embedding import Embedding
from msplora_search.tasks.exchanges import between_columns
from msplora_search.tasks.labels import class_counts
from msplora_search.tasks.parts import Part
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task
from msplora_search.tasks.tokenising import separator
from msplora_search.tasks.tokens import most_tokens, pad_of
from msplora_search.tasks.words import lead

if TYPE_CHECKING:
    from peft import PeftConfig

MOST_APART = {"fp32": 1e-5, "bf16": 5e-2}
"""By format of the base, for logits up to 1, and in proportion for larger ones."""
CHECKED_BATCHES, CHECKED_ROWS = 4, 16
MOST_NUMBERS = 20_000_000
"""No more batches are checked after so many numbers: scores of a whole vocabulary are large."""


@dataclass(frozen=True)
class Origin:
    """What is said of a model that is delivered."""

    left: str
    """What there is where it cannot be delivered."""
    told: str | None = None
    """A sentence for the card on where it comes from; None: what the recipe says."""
    trained: bool = True
    """As the recipe says."""


TRAINED = Origin("checkpoints are kept")


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
    model, task, part = trained.backbone.model, trained.parts.task, trained.parts.test
    tied = checked_logits(recipe, model, task, part)
    bank, peft, base = bank_of(model), to_peft(model), Base.of(recipe.model)
    processor, made, device = _processor(recipe), [], next(model.parameters()).device

    def fill(folder: Path) -> None:
        save_pyramid(model, folder / "pyramid", base.name)
        peft.save(folder / "peft", base.name if base.is_id else None, task_type=task.kind.peft_type)
        processor.save_pretrained(folder / "peft")
        served = reload_peft(recipe, folder / "peft", device)
        forms = {"PEFT": checked_logits(recipe, served, task, part)}
        if recipe.backbone.quantization == "none":
            forms["merged"] = checked_logits(recipe, merge(model), task, part)
        most_apart = MOST_APART[recipe.backbone.dtype]
        apart = require_equal(tied, forms, most_apart, origin.left)
        first = task.collate(part, np.arange(min(len(part), CHECKED_ROWS)))
        answers = partial(checked_logits, recipe, task=task, part=part)
        source = Source(recipe, model, peft, base.name, processor, first, answers)
        for form in further:
            if (logits := form.write(source, folder / form.name)) is not None:
                apart = max(apart, require_equal(tied, {form.name: logits}, most_apart, origin.left))
        if with_merged:
            save_merged(model, folder / "merged")
            processor.save_pretrained(folder / "merged")
        if isinstance(task.kind, Embedding):
            width, most = tied.shape[-1], most_tokens(recipe.task.max_length, processor)
            forms_of_st = ["peft"] * base.is_id + ["merged"] * with_merged  # peft/ names no folder as its base
            for name in forms_of_st:
                write_sentence_files(folder / name, task.kind.pooling, width, most)
        merged = model if recipe.backbone.quantization == "none" else None
        serving = measure_serving(recipe, served, merged, task, part) if measured else None
        size = (folder / "peft" / TENSORS).stat().st_size
        counts = tuple(class_counts(part.truth, recipe.classes))
        params = (bank.count(), peft.adapter_params, peft.stored_params)
        done = Delivered(
            output / FOLDER,
            trained.test.metric,
            trained.parts.task.judge(trained.parts.test).interval(trained.test),
            *params,
            apart,
            Costs(bank.count(), size, peft.rank, peft.adapter_params),
            serving,
        )
        most = 0 if recipe.task.kind == "image-classification" else most_tokens(recipe.task.max_length, processor)
        config = json.loads((folder / "peft" / CONFIG).read_text(encoding="utf-8"))
        model_type = str(getattr(model.config, "model_type", ""))
        told = (tuple(further), config, model_type)
        facts = Facts(done, with_merged, counts, origin.told, origin.trained, *told)
        card = model_card(recipe, task.kind, most, facts, _between(recipe, processor))
        (folder / "README.md").write_text(card, encoding="utf-8")
        made.append(done)
        (folder / RESULTS).write_text(results_text(recipe, made[0]), encoding="utf-8")

    try:
        install(output / FOLDER, fill, last=RESULTS)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{output / FOLDER}: cannot be written: {said}; {origin.left}") from None
    return made[0]


def _processor(recipe: Recipe) -> Any:
    """What makes the inputs, as it is delivered: with a padding token, and padding where the model wants it."""
    processor = load_processor(recipe)
    if recipe.task.kind != "image-classification":
        if processor.pad_token_id is None:
            processor.pad_token = processor.convert_ids_to_tokens(pad_of(processor))
        # A decoder goes on from the last token; a classifier was trained with the first tokens in their places.
        processor.padding_side = "left" if recipe.task.kind in OF_DECODERS else "right"
    return processor


def _between(recipe: Recipe, processor: Any) -> str:
    """What stands between two texts that are read as one, between the columns of a prompt, or before a word."""
    pairs = recipe.task.kind in OF_SEVERAL
    two = recipe.task.text is not None and len(recipe.task.text) == 2 and recipe.task.kind != "embedding"
    if pairs or two:
        return separator(processor).text
    if recipe.task.kind == "token-classification":
        return lead(processor)
    return between_columns(processor, chat=False) if recipe.task.kind == "seq2seq-lm" else ""


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


@torch.no_grad()
def checked_logits(recipe: Recipe, model: nn.Module, task: Task, part: Part) -> Tensor:
    """Outputs for the first test examples, (examples or asked tokens, classes or words), fp32."""
    model.eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    found, numbers = [], 0
    for start in range(0, min(len(part), CHECKED_BATCHES * CHECKED_ROWS), CHECKED_ROWS):
        batch = task.collate(part, np.arange(start, min(start + CHECKED_ROWS, len(part)))).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.backbone.dtype == "bf16"):
            found.append(task.kind.outputs(model, batch).float().cpu())
        numbers += found[-1].numel()
        if numbers > MOST_NUMBERS:
            break
    return torch.cat(found)


def reload_peft(recipe: Recipe, folder: Path, device: torch.device, config: PeftConfig | None = None) -> nn.Module:
    """The adapter as a stranger loads it: a fresh base model, and PEFT. `config`: instead of the folder's own."""
    base = load_backbone(recipe, load_processor(recipe), recipe.classes).model
    loaded = load_peft(base, folder, config)
    if recipe.backbone.device_map is not None or recipe.backbone.quantization != "none":
        return loaded  # it has been placed
    return loaded.to(device)


def load_peft(base: nn.Module, folder: Path, config: PeftConfig | None = None) -> nn.Module:
    """`base` with the adapter in `folder`, by PEFT."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a name of its older versions
        loaded = PeftModel.from_pretrained(base, str(folder), config=config)
    assert isinstance(loaded, nn.Module)
    return loaded


def require_equal(tied: Tensor, forms: dict[str, Tensor], most_apart: float, left: str = TRAINED.left) -> float:
    """The largest difference. Raises InputError where it is too large, or where there are no finite numbers.

    `left`: what is said to be left then.
    """
    for name, logits in {"trained": tied, **forms}.items():
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"the {name} model gives logits that are no finite numbers; lower training.learning_rate; nothing "
                f"was written, {left}",
                field="training.learning_rate",
            )
    apart = {name: float((tied - other).abs().max()) for name, other in forms.items()}
    worst = max(apart, key=lambda name: apart[name])
    most_apart *= max(1.0, float(tied.abs().max()))
    if apart[worst] > most_apart:
        raise InputError(
            f"the {worst} model differs from the trained one by {apart[worst]:.1e} in its logits (at most "
            f"{most_apart:.0e} is right); nothing was written, {left}"
        )
    return apart[worst]
