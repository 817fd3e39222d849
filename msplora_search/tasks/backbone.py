"""Loads the pretrained model and its tokenizer, once a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from msplora_search.adapters.anatomy import head_parameters
from msplora_search.errors import InputError
from msplora_search.tasks.demo import without_demo_names


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


def load_tokenizer(model: str, trust_remote_code: bool = False) -> Any:
    """The model's fast tokenizer. Raises InputError where there is none."""
    from transformers import AutoTokenizer

    location = model_location(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(f"model {model}: no usable tokenizer: {_first_line(error)}") from None
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes one out of no file at all
        raise InputError(f"model {model}: no usable tokenizer: it has no vocabulary; add tokenizer.json")
    return tokenizer


def load_classifier(
    model_name: str, classes: int, pad_token_id: int | None, seed: int = 0, trust_remote_code: bool = False
) -> Backbone:
    """The model with a fresh classification head, drawn from `seed`.

    Weights are read from safetensors only. Raises InputError where the model cannot be loaded.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    location = model_location(model_name)
    torch.manual_seed(seed)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # that the head is new is no news
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(location, num_labels=classes, trust_remote_code=trust_remote_code)
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = pad_token_id
        model, found = AutoModelForSequenceClassification.from_pretrained(
            location,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the head of another task
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise InputError(f"model {model_name}: cannot be loaded: {_first_line(error)}") from None
    finally:
        logging.set_verbosity(verbosity)
    new = {*found["missing_keys"], *(entry[0] for entry in found["mismatched_keys"])}
    own_head = {id(parameter) for parameter in head_parameters(model)}
    named = dict(model.named_parameters())
    trained = [p for name, p in named.items() if name in new or id(p) in own_head]
    if sum(p.numel() for p in trained) > sum(p.numel() for p in named.values()) / 2:
        raise InputError(
            f"model {model_name}: most weights of {type(model).__name__} are missing from its safetensors; "
            "it must hold a pretrained model of the architecture that its config.json names"
        )
    return Backbone(model, tuple(trained), tuple(p.detach().clone() for p in trained))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
