"""Loads the pretrained model, and what makes its inputs, once a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from msplora_search.adapters.anatomy import head_parameters
from msplora_search.adapters.census import bounded
from msplora_search.adapters.foreign import loading
from msplora_search.adapters.hub import require_bounds
from msplora_search.adapters.outputs import Outputs
from msplora_search.errors import InputError
from msplora_search.settings.kinds import OF_DECODERS, WITHOUT_HEAD
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.bare import drop_unused
from msplora_search.tasks.fit import require_embedding, require_fit, require_vocabulary
from msplora_search.tasks.head import draw_anew
from msplora_search.tasks.holding import placement, without_dropout
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.pooling import pooling_of
from msplora_search.tasks.processors import ModelSettings, model_location
from msplora_search.tasks.tokens import pad_of
from msplora_search.text import printable, shown


@dataclass(frozen=True)
class Backbone:
    """A model whose base stays frozen, with the parameters that train beside the adapters."""

    model: nn.Module
    head: tuple[nn.Parameter, ...]
    """Task head, and whatever the checkpoint did not have."""
    initial_head: tuple[Tensor, ...] = field(repr=False)
    """As it was loaded, and drawn from `seed`."""
    drawn: tuple[nn.Parameter, ...] = ()
    """What of the head is not the checkpoint's."""
    seed: int = 0

    @torch.no_grad()
    def reset_head(self, seed: int | None = None) -> None:
        """Bring the head back to where every trial of a seed starts; None: the backbone's own seed."""
        for parameter, value in zip(self.head, self.initial_head, strict=True):
            parameter.copy_(value)
        if self.drawn and seed not in (None, self.seed):
            for parameter, value in zip(self.drawn, draw_anew(self.model, self.drawn, seed), strict=True):
                parameter.copy_(value)


def load_backbone(
    settings: ModelSettings, processor: Any, classes: Sequence[str], seed: int = 0, dropout: bool = True
) -> Backbone:
    """The model with the head of the task; a head that the checkpoint does not have is drawn from `seed`.

    `classes`: names of the classes, none where the task has none; whatever the checkpoint calls the outputs
    of its own head is forgotten. Without `dropout` a model that computes activations again in the backward
    pass, for which it must be in training mode, has none either. Weights are read from safetensors only.
    Raises InputError where the model cannot be loaded, or its architecture cannot do the task.
    """
    name, held = settings.model, settings.backbone
    location = model_location(name)
    torch.manual_seed(seed)
    with loading(name, "cannot be loaded"):
        auto, config = _architecture(settings, location, processor, classes)
        if held.gradient_checkpointing and not dropout:
            without_dropout(config)
        model, found = auto.from_pretrained(
            location,
            config=config,
            dtype=torch.bfloat16 if held.dtype == "bf16" else torch.float32,
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the head of another task
            **placement(held),
        )
        if held.gradient_checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
    if settings.task.kind != "image-classification":
        require_embedding(model, name, processor)
    if settings.task.kind in OF_DECODERS:
        model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    missing = set(found["missing_keys"])
    if settings.task.kind == "embedding":
        missing = set(drop_unused(model, missing))
    return _backbone_of(model, missing, found["mismatched_keys"], settings, seed)


def bare_model(settings: ModelSettings, processor: Any, classes: Sequence[str]) -> nn.Module:
    """The model of `load_backbone` without its weights, on the meta device. Raises InputError as that does."""
    from transformers.initialization import no_init_weights

    location = model_location(settings.model)
    with (
        loading(settings.model, "cannot be built"),
        bounded(settings.model),
        no_init_weights(),
        torch.device("meta"),
    ):
        auto, config = _architecture(settings, location, processor, classes)
        model = auto.from_config(config, trust_remote_code=settings.trust_remote_code)
    assert isinstance(model, nn.Module)
    if settings.task.kind != "image-classification":
        require_embedding(model, settings.model, processor)
    return model


def _backbone_of(
    model: nn.Module, missing: set[str], other: set[Any], settings: ModelSettings, seed: int
) -> Backbone:
    """Tell the head from the base.

    `missing`: parameters that the checkpoint does not have; `other`: those that it has in another shape, as
    (name, shape there, shape here).
    """
    own_head = {id(parameter) for parameter in head_parameters(model)}
    named = dict(model.named_parameters())
    _require_same_base(model, other, own_head, settings.model)
    new = missing | {name for name, _, _ in other}
    trained = [p for name, p in named.items() if name in new or id(p) in own_head]
    of_tokens = settings.task.kind in WITHOUT_HEAD
    if sum(p.numel() for p in trained) > sum(p.numel() for p in named.values()) / 2 or (of_tokens and new):
        what = "most weights" if not of_tokens else f"weights such as {printable(min(new))}"
        raise InputError(
            f"model {printable(settings.model)}: {what} of {type(model).__name__} are missing from its "
            "safetensors; it must hold a pretrained model of the architecture that its config.json names",
            "model",
        )
    for parameter in trained:
        parameter.data = parameter.data.float()
    drawn = tuple(p for name, p in named.items() if name in new)
    return Backbone(model, tuple(trained), tuple(p.detach().clone() for p in trained), drawn, seed)


def _require_same_base(model: nn.Module, other: set[Any], own_head: set[int], name: str) -> None:
    """Raise InputError where a weight other than the head's has another shape than config.json says."""
    named = dict(model.named_parameters())
    labels = getattr(model.config, "num_labels", None)
    for weight, there, here in sorted(other):
        if weight in named and id(named[weight]) not in own_head and here[0] != labels:
            raise InputError(
                f"model {printable(name)}: {printable(weight)} is {tuple(there)} in its safetensors, but "
                f"{tuple(here)} by its config.json; they must be of one model",
                "model",
            )


def _contiguous(module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A view of some tokens would make the product copy the whole vocabulary's weight for each example."""
    return tuple(argument.contiguous() for argument in arguments)


def _architecture(
    settings: ModelSettings, location: str, processor: Any, classes: Sequence[str]
) -> tuple[Any, Any]:
    """The class of transformers that makes the model, and its configuration, for this task.

    Raises InputError where the architecture cannot do it.
    """
    import transformers

    require_bounds(settings.model, location)
    config = _config(settings, location, processor, classes)
    require_fit(config, settings.model, settings.task.kind, settings.trust_remote_code)
    if settings.task.kind == "embedding":
        pooling_of(settings.task.pooling, location)  # what cannot be done is found before anything is loaded
    return getattr(transformers, kind_of(settings.task, processor).auto_class), config


def outputs_of(task: TaskSettings, classes: Sequence[str]) -> Outputs | None:
    """The names of the head's outputs: the classes, or the column of the number; None where words are scored."""
    if task.kind == "text-regression":
        return Outputs.of_number(str(task.label))
    if task.kind == "extractive-qa":
        return Outputs(("start", "end"))
    if not classes:
        return None
    match task.kind:
        case "token-classification":
            return Outputs(tuple(classes))
        case "multi-label":
            return Outputs.of_labels(tuple(classes))
    return Outputs.of_classes(tuple(classes))


def _config(settings: ModelSettings, location: str, processor: Any, classes: Sequence[str]) -> Any:
    """The model's configuration, for this task."""
    from transformers import AutoConfig

    task = settings.task
    outputs = outputs_of(task, classes)
    further = outputs.fields() if outputs else {}
    config = AutoConfig.from_pretrained(location, trust_remote_code=settings.trust_remote_code, **further)
    attention = getattr(config, "_attn_implementation", None)
    if isinstance(attention, str) and "/" in attention and not settings.trust_remote_code:
        raise InputError(
            f"model {printable(settings.model)}: its config.json asks for attention code of the hub, "
            f"{shown(attention)}, which is run only where the study says trust_remote_code: true",
            "model",
        )
    if task.kind == "image-classification":
        return config
    words = getattr(config.get_text_config(), "vocab_size", None)
    if isinstance(words, int) and pad_of(processor) >= words:  # no embedding can be made for it
        require_vocabulary(words, settings.model, processor)
    config.pad_token_id = pad_of(processor)  # a classifier looks for the last token before the padding
    if task.kind in (*OF_DECODERS, "embedding"):
        config.use_cache = False  # of no use in training; generation asks for it by itself
    return config
