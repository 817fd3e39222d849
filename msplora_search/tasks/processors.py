"""Where a model's files are, and what makes its inputs: its tokenizer or its image processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from msplora_search.adapters.foreign import loading
from msplora_search.adapters.hub import require_bounds
from msplora_search.errors import InputError
from msplora_search.settings.models import BackboneSettings
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.demo import without_demo_names
from msplora_search.text import printable

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


def model_location(name: str) -> str:
    """What transformers can load: the folder of a demo model; a folder or an id as it stands.

    Raises InputError for a folder that holds no model.
    """
    with loading(name, "cannot be had"):
        name = without_demo_names(name)
    folder = Path(name)
    if folder.is_absolute() or folder.exists():
        if not (folder / "config.json").is_file():
            what = "is no folder with a config.json; give a model folder, an id or demo:NAME"
            raise InputError(f"model: {printable(name)} {what}", "model")
        if not list(folder.glob("*.safetensors")):
            what = "has no weights; it must hold *.safetensors (other formats are not read)"
            raise InputError(f"model: {printable(name)} {what}", "model")
    return name


def require_weights(model: str) -> None:
    """Raise InputError where the model, in a folder or on the hub, has no weights that are read. Loads none."""
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
    from transformers.utils.hub import has_file

    location = model_location(model)
    if Path(location).exists():
        return
    with loading(model, "cannot be looked at"):
        if not any(has_file(location, name) for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
            raise InputError(
                f"model {printable(model)}: has no {SAFE_WEIGHTS_NAME}; other formats are not read", "model"
            )


def load_processor(settings: ModelSettings) -> Any:
    """What makes the model's inputs: its tokenizer or its image processor. Raises InputError without one."""
    if settings.task.kind == "image-classification":
        return load_image_processor(settings.model, settings.trust_remote_code)
    return load_tokenizer(settings.model, settings.trust_remote_code)


def load_tokenizer(model: str, trust_remote_code: bool = False) -> Any:
    """The model's fast tokenizer, which knows the model's context. Raises InputError where there is none."""
    from transformers import AutoConfig, AutoTokenizer

    location = model_location(model)
    with loading(model, "no usable config.json"):
        require_bounds(model, location)
        config = AutoConfig.from_pretrained(location, trust_remote_code=trust_remote_code)
    with loading(model, "no usable tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=trust_remote_code)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes one out of no file at all
        what = "no usable tokenizer: it has no vocabulary; add tokenizer.json"
        raise InputError(f"model {printable(model)}: {what}", "model")
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

    location = model_location(model)
    with loading(model, "no usable image processor", advice="; add preprocessor_config.json"):
        return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            location, trust_remote_code=trust_remote_code
        )
