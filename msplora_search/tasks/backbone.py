"""Loads the pretrained model, and what makes its inputs, once a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from msplora_search.adapters.anatomy import head_parameters
from msplora_search.errors import InputError
from msplora_search.settings.models import BackboneSettings
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.demo import without_demo_names
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.tokens import pad_of

COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "roberta-prelayernorm")
VERY_LARGE_INTEGER = 10**30
"""What tokenizers of transformers say where they know of no bound."""


class ModelSettings(Protocol):
    """The fields of a study, or of a recipe, that say which model is loaded, and what for."""

    @property
    def model(self) -> str:
        """A Hugging Face id, a folder, or demo:NAME."""

    @property
    def task(self) -> TaskSettings:
        """What the adapter is for."""

    @property
    def backbone(self) -> BackboneSettings:
        """How the base is held."""

    @property
    def trust_remote_code(self) -> bool:
        """Whether the model's repository may run its own code."""


@dataclass(frozen=True)
class Backbone:
    """A model whose base stays frozen, with the parameters that train beside the adapters."""

    model: nn.Module
    head: tuple[nn.Parameter, ...]
    """Task head, and whatever the checkpoint did not have."""
    initial_head: tuple[Tensor, ...] = field(repr=False)

    @torch.no_grad()
    def reset_head(self) -> None:
        """Bring the head back to the values that every trial starts from."""
        for parameter, value in zip(self.head, self.initial_head, strict=True):
            parameter.copy_(value)


def model_location(name: str) -> str:
    """What transformers can load: the folder of a demo model; a folder or an id as it stands.

    Raises InputError for a folder that holds no model.
    """
    name = without_demo_names(name)
    folder = Path(name)
    if folder.is_absolute() or folder.exists():
        if not (folder / "config.json").is_file():
            raise InputError(
                f"model: {name} is no folder with a config.json; give a model folder, an id or demo:NAME"
            )
        if not list(folder.glob("*.safetensors")):
            raise InputError(
                f"model: {name} has no weights; it must hold *.safetensors (other formats are not read)"
            )
    return name


def load_processor(settings: ModelSettings) -> Any:
    """What makes the model's inputs: its tokenizer or its image processor. Raises InputError without one."""
    if settings.task.kind == "image-classification":
        return load_image_processor(settings.model, settings.trust_remote_code)
    return load_tokenizer(settings.model, settings.trust_remote_code)


def load_tokenizer(model: str, trust_remote_code: bool = False) -> Any:
    """The model's fast tokenizer, which knows the model's context. Raises InputError where there is none."""
    from transformers import AutoConfig, AutoTokenizer

    location = model_location(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=trust_remote_code)
        config = AutoConfig.from_pretrained(location, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(f"model {model}: no usable tokenizer: {_first_line(error)}") from None
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes one out of no file at all
        raise InputError(f"model {model}: no usable tokenizer: it has no vocabulary; add tokenizer.json")
    tokenizer.model_max_length = min(tokenizer.model_max_length, context_of(config))
    return tokenizer


def context_of(config: Any) -> int:
    """Most tokens that the model has positions for; a very large number where it sets no bound."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return VERY_LARGE_INTEGER
    # RoBERTa and its kin number positions from behind the padding token on.
    return positions - (config.pad_token_id or 0) - 1 if config.model_type in COUNT_FROM_PADDING else positions


def load_image_processor(model: str, trust_remote_code: bool = False) -> Any:
    """The model's image processor. Raises InputError where there is none."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            model_location(model), trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(
            f"model {model}: no usable image processor: {_first_line(error)}; add preprocessor_config.json"
        ) from None


def load_backbone(
    settings: ModelSettings, processor: Any, classes: int, seed: int = 0, dropout: bool = True
) -> Backbone:
    """The model with the head of the task; a head that the checkpoint does not have is drawn from `seed`.

    `classes`: number of classes, 0 where the task has none. Without `dropout` a model that computes
    activations again in the backward pass, for which it must be in training mode, has none either.
    Weights are read from safetensors only. Raises InputError where the model cannot be loaded, or
    its architecture cannot do the task.
    """
    import transformers
    from transformers.utils import logging

    name, held = settings.model, settings.backbone
    location = model_location(name)
    torch.manual_seed(seed)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # that the head is new is no news
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = _config(settings, location, processor, classes)
        require_fit(config, settings)
        if held.gradient_checkpointing and not dropout:
            _without_dropout(config)
        model, found = getattr(transformers, kind_of(settings.task, processor).auto_class).from_pretrained(
            location,
            config=config,
            dtype=torch.bfloat16 if held.dtype == "bf16" else torch.float32,
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the head of another task
            **_placement(held),
        )
        if held.gradient_checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise InputError(f"model {name}: cannot be loaded: {_first_line(error)}") from None
    finally:
        logging.set_verbosity(verbosity)
    if settings.task.kind == "causal-lm":
        model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    new = {*found["missing_keys"], *(entry[0] for entry in found["mismatched_keys"])}
    return _backbone_of(model, new, settings)


def _backbone_of(model: nn.Module, new: set[str], settings: ModelSettings) -> Backbone:
    """Tell the head from the base; `new` are the parameters that the checkpoint does not have."""
    own_head = {id(parameter) for parameter in head_parameters(model)}
    named = dict(model.named_parameters())
    trained = [p for name, p in named.items() if name in new or id(p) in own_head]
    of_tokens = settings.task.kind in ("causal-lm", "seq2seq-lm")
    if sum(p.numel() for p in trained) > sum(p.numel() for p in named.values()) / 2 or (of_tokens and new):
        what = "most weights" if not of_tokens else f"weights such as {min(new)}"
        raise InputError(
            f"model {settings.model}: {what} of {type(model).__name__} are missing from its safetensors; "
            "it must hold a pretrained model of the architecture that its config.json names"
        )
    for parameter in trained:
        parameter.data = parameter.data.float()
    return Backbone(model, tuple(trained), tuple(p.detach().clone() for p in trained))


def _contiguous(module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A view of some tokens would make the product copy the whole vocabulary's weight for each example."""
    return tuple(argument.contiguous() for argument in arguments)


def _config(settings: ModelSettings, location: str, processor: Any, classes: int) -> Any:
    """The model's configuration, for this task."""
    from transformers import AutoConfig

    task = settings.task
    further: dict[str, Any] = {"num_labels": classes} if classes else {}
    if task.kind == "text-regression":
        further = {"num_labels": 1, "problem_type": "regression"}
    config = AutoConfig.from_pretrained(location, trust_remote_code=settings.trust_remote_code, **further)
    if task.kind == "image-classification":
        return config
    config.pad_token_id = pad_of(processor)  # a classifier looks for the last token before the padding
    if task.kind == "causal-lm":
        config.use_cache = False  # of no use in training; generation asks for it by itself
    return config


def _placement(held: BackboneSettings) -> dict[str, Any]:
    """Where and in what format the weights go. Raises InputError for what this machine cannot do."""
    chosen: dict[str, Any] = {"device_map": held.device_map} if held.device_map else {}
    if held.quantization == "none":
        return chosen
    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        raise InputError(
            f"backbone.quantization is {held.quantization}; it needs a CUDA device and "
            "`pip install bitsandbytes`, or set it to none"
        )
    from transformers import BitsAndBytesConfig

    four = held.quantization == "4bit"
    chosen["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=four,
        load_in_8bit=not four,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return chosen


def _without_dropout(config: Any) -> None:
    for name, value in list(vars(config).items()):
        if isinstance(value, float) and ("dropout" in name or name.endswith("_pdrop")):
            setattr(config, name, 0.0)


def require_fit(config: Any, settings: ModelSettings) -> None:
    """Raise InputError, naming what the model can do, where its architecture cannot do the task."""
    if getattr(config, "auto_map", None):  # code of its own
        return
    kinds = fitting_kinds(config)
    if settings.task.kind not in kinds:
        can = f"it can do {', '.join(kinds)}" if kinds else "there is no task for it"
        raise InputError(
            f"task.kind is {settings.task.kind}, which {settings.model} ({config.model_type}) cannot do; {can}"
        )


def fitting_kinds(config: Any) -> list[str]:
    """The kinds of tasks that an architecture has a head for in transformers."""
    from transformers.models.auto import modeling_auto as auto

    name = config.model_type
    # transformers would turn an encoder such as BERT into a decoder, untrained for it.
    encoder = name in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    heads: dict[str, Mapping[str, Any]] = {
        "text-classification": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "text-regression": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "causal-lm": {} if encoder else auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "seq2seq-lm": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        "image-classification": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    }
    return [kind for kind, known in heads.items() if name in known]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
