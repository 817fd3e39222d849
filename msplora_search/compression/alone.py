"""Compresses a LoRA without its task: by its updates alone, on its base model where that is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msplora_search.adapters.bank import merge
from msplora_search.adapters.census import bounded
from msplora_search.adapters.foreign import loading
from msplora_search.adapters.hub import require_bounds
from msplora_search.adapters.peft_format import to_peft
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.compression.card import write_card
from msplora_search.compression.choosing import Choice
from msplora_search.compression.compressing import Compression, Point, Say
from msplora_search.compression.compressing import compress as compress_lora
from msplora_search.compression.delivering import NOTHING_LEFT, Wish, relative
from msplora_search.compression.lora import Lora
from msplora_search.compression.writing import put_on, write_point
from msplora_search.errors import InputError
from msplora_search.full.cards.card import Base
from msplora_search.full.delivery import save_merged
from msplora_search.full.proofs import MOST_APART, load_peft, require_equal
from msplora_search.tasks.processors import model_location
from msplora_search.text import brief, printable

CLASSES = {
    "SEQ_CLS": "AutoModelForSequenceClassification", "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM", "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering", "FEATURE_EXTRACTION": "AutoModel",
}  # fmt: skip
"""Of transformers, by PEFT's name for the task."""
HEADS = (
    "AutoModelForSequenceClassification", "AutoModelForImageClassification", "AutoModelForMultipleChoice",
    "AutoModelForQuestionAnswering",
)  # fmt: skip
"""Tried where neither that nor the base model's files say what the LoRA was trained on."""
MADE_UP, LENGTH = 32, 24
"""Inputs that are made up, and tokens of each."""


@dataclass(frozen=True)
class Alone:
    """What was written, and what is known of it."""

    chosen: Point
    updates_apart: float | None
    """Largest difference between the updates of pyramid and PEFT form, in proportion; without the base model."""
    logits_apart: float | None = None
    """Largest difference of logits between the forms, on made-up inputs."""
    logits_error: float | None = None
    """From the LoRA, on made-up inputs, see `delivering.Outcome`."""

    def to_json(self) -> dict[str, Any]:
        """A part of `compress.json`."""
        return {name: value for name, value in vars(self).items() if name != "chosen" and value is not None}


def compress_alone(
    lora: Lora, choice: Choice, wish: Wish, model: str | None, folder: Path, say: Say
) -> tuple[Compression, Alone]:
    """Fit, choose, compare and write `model/` into `folder`. `model`: the base model. Raises InputError."""
    found = compress_lora(lora, wish.ranks, say=say)
    chosen = choice.picked(found)
    target = folder / "model"
    target.mkdir()
    if model is None:
        done = Alone(chosen, write_point(found, chosen, target))
    else:
        say("comparing logits of LoRA, pyramid, PEFT and merged model ...")
        done = _on_base(found, chosen, model, target, wish.merged)
    write_card(found, chosen, target, Base.of(model or lora.base_model or "unknown"), wish.merged)
    return found, done


def _on_base(found: Compression, chosen: Point, name: str, folder: Path, with_merged: bool) -> Alone:
    lora, base = found.lora, Base.of(name)
    model = _loaded(name, lora)
    put_on(model, found, chosen)
    tied = outputs(model)
    save_pyramid(model, folder / "pyramid", base.name)
    to_peft(model).save(folder / "peft", base.name if base.is_id else None, lora.task_type)
    forms = {
        "PEFT": outputs(load_peft(_loaded(name, lora), folder / "peft")),
        "merged": outputs(merge(model)),
    }
    apart = require_equal(tied, forms, MOST_APART["fp32"], NOTHING_LEFT)
    if with_merged:
        save_merged(model, folder / "merged")
    before = outputs(load_peft(_loaded(name, lora), lora.folder, lora.peft_config()))
    return Alone(chosen, None, apart, relative(before, tied))


def _loaded(name: str, lora: Lora) -> nn.Module:
    """The base model, in fp32, with the head that the LoRA was saved with."""
    import transformers

    location = model_location(name)
    torch.manual_seed(0)  # a head that is nowhere is the same each time
    with loading(name, "cannot be loaded"):
        require_bounds(name, location)
        config = transformers.AutoConfig.from_pretrained(location)
        if (labels := _labels(lora)) is not None and labels != config.num_labels:
            config.num_labels = labels
        if lora.outputs is not None and len(lora.outputs.names) == config.num_labels:
            for field, value in lora.outputs.fields().items():
                setattr(config, field, value)
        found: nn.Module = _class_for(lora, config, name).from_pretrained(
            location, config=config, dtype=torch.float32, use_safetensors=True, ignore_mismatched_sizes=True
        )
    return found.eval()


def _class_for(lora: Lora, config: Any, name: str) -> Any:
    """The class of transformers whose models have all modules of the LoRA; by its task where none has."""
    import transformers
    from transformers.initialization import no_init_weights

    known = [CLASSES[lora.task_type]] if lora.task_type in CLASSES else []
    named = [*known, *(config.architectures or ()), *HEADS, "AutoModel"]
    classes = [found for found in (getattr(transformers, one, None) for one in named) if found is not None]
    wanted = {f"{site.path}.weight" for site in lora.sites} | set(lora.beside)
    for found in classes:
        try:
            with bounded(name), no_init_weights(), torch.device("meta"):
                bare = getattr(found, "from_config", found)(config)
        except ValueError:  # there is no such head for this architecture
            continue
        if wanted <= {parameter for parameter, _ in bare.named_parameters()}:
            return found
    return classes[0]


def _labels(lora: Lora) -> int | None:
    """Outputs of the last matrix that was saved beside the LoRA."""
    matrices = [tensor for name, tensor in lora.beside.items() if tensor.dim() == 2 and name.endswith("weight")]
    return len(matrices[-1]) if matrices else None


@torch.no_grad()
def outputs(model: nn.Module) -> Tensor:
    """Logits, or the last hidden state, for made-up inputs; the same for every model of one architecture.

    Raises InputError for an architecture that no inputs can be made up for.
    """
    model.eval()
    found = model(**_made_up(model))
    logits = getattr(found, "logits", None)
    answer: Tensor = found[0] if logits is None else logits
    return answer.float()


def _made_up(model: nn.Module) -> dict[str, Tensor]:
    config: Any = model.config
    draw = torch.Generator().manual_seed(0)
    words = getattr(config.get_text_config(), "vocab_size", None)
    if isinstance(words, int):
        ids = torch.randint(0, words, (MADE_UP, LENGTH), generator=draw)
        if any(type(module).__name__.endswith("ForMultipleChoice") for module in model.modules()):
            ids = ids[None]  # one example, of many choices
        made = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return {**made, "decoder_input_ids": ids} if config.is_encoder_decoder else made
    size = getattr(config, "image_size", None)
    if size is None:
        kind = printable(type(model).__name__)
        raise InputError(f"--model: no inputs can be made up for {brief(kind)}; give --study instead")
    height, width = (size, size) if isinstance(size, int) else size
    return {"pixel_values": torch.randn(MADE_UP, config.num_channels, height, width, generator=draw)}
