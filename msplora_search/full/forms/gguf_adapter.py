"""The adapter as one GGUF file, for llama.cpp.

llama.cpp adds `scale * B A` to a weight, where `scale = alpha / rank`, alpha being the file's and the rank the
number of B's columns (`llama_adapter_lora_weight::get_scale` in src/llama-adapter.h). One alpha stands for all
sites, so what differs from level to level is in the factors, as for PEFT, and alpha is the one rank of all of
them: the scale is 1. Names are those of the package `gguf`; keys, and the order of rows, those of
convert_lora_to_gguf.py and conversion/llama.py of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.adapters.foreign import loading
from msplora_search.adapters.peft_format import PeftAdapter
from msplora_search.errors import InputError
from msplora_search.full.cards.code import Usage
from msplora_search.full.forms.form import Passage, Source
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.processors import model_location
from msplora_search.text import printable

FILE = "adapter.gguf"
INSTALL = 'pip install "msplora-search[gguf]"'


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp has the weights of a model type of transformers."""

    name: str
    interleaved: bool = False
    """Whether its converter reorders the rows of query and key, each head's, for a rotation of neighbours."""


ARCHITECTURES = {
    "llama": Architecture("llama", interleaved=True),
    "mistral": Architecture("llama", interleaved=True),
    "granite": Architecture("granite", interleaved=True),
    "smollm3": Architecture("smollm3", interleaved=True),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
    "gemma": Architecture("gemma"),
    "gemma2": Architecture("gemma2"),
    "gemma3_text": Architecture("gemma3"),
    "phi3": Architecture("phi3"),
}
"""Those whose matrices the converter of llama.cpp otherwise leaves as they are."""


@dataclass(frozen=True)
class Place:
    """Where a site's factors stand in the file."""

    name: str
    """That of the weight, such as `blk.0.attn_q.weight`."""
    heads: int
    """Whose rows are reordered; 0: none are."""


@dataclass(frozen=True)
class GgufAdapter:
    """See `form.Form`."""

    name: str = "gguf"

    def require(self, recipe: Recipe) -> None:
        """Raise InputError where the task is none of llama.cpp's, or its names for the model are not known."""
        if kind_of(recipe.task, None).peft_type != "CAUSAL_LM":
            raise InputError(
                f"--gguf: llama.cpp takes adapters of language models, causal-lm, but task.kind is "
                f"{recipe.task.kind}; leave it out"
            )
        try:
            import gguf  # noqa: F401
        except ImportError:
            raise InputError(f"--gguf: the package gguf is not installed; {INSTALL}") from None
        _architecture(_config(recipe), recipe.model)

    def write(self, source: Source, folder: Path) -> Tensor | None:
        """Write the file, read it back, and require the very factors that PEFT was given."""
        config: Any = source.model.config
        folder.mkdir()
        write_gguf(source.adapter, config, folder / FILE, source.recipe.name, source.base)
        if not same_factors(source.adapter, read_gguf(source.adapter, config, folder / FILE)):
            raise InputError("--gguf: the file does not hold what was trained; leave it out, and report this")
        return None

    def told(self, usage: Usage) -> Passage:
        """By llama.cpp's own programs."""
        return Passage(
            f"`gguf/{FILE}` is the same adapter for llama.cpp, factor by factor, in float32. It goes with the "
            "base as llama.cpp's `convert_hf_to_gguf.py` writes it; one of fewer bits gives other numbers:",
            f"llama-server --model base.gguf --lora gguf/{FILE}",
            "sh",
        )


def write_gguf(adapter: PeftAdapter, config: Any, file: Path, name: str, base: str) -> None:
    """Write `file`. `config`: the model's; `name`: what is made, `base`: of what.

    Raises InputError for a site without a name in GGUF.
    """
    from gguf import GGUFType, GGUFWriter, Keys, LlamaFileType

    writer = GGUFWriter(file, _architecture(config, base).name)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, float(adapter.rank))
    for path, place in _places(adapter, config, base):
        up = interleaved(adapter.factor(path, "B"), place.heads)
        for factor, tensor in (("lora_a", adapter.factor(path, "A")), ("lora_b", up)):
            writer.add_tensor(f"{place.name}.{factor}", _plain(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(adapter: PeftAdapter, config: Any, file: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """The factors (rank, d_in) and (d_out, rank) by module path, with B scaled as llama.cpp scales the product.

    Rows are in the order of transformers. `adapter`: whose sites they are of.
    """
    from gguf import GGUFReader, Keys

    reader = GGUFReader(file)
    field = reader.get_field(Keys.Adapter.LORA_ALPHA)
    alpha = float(field.contents()) if field is not None else 0.0
    held = {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in reader.tensors}
    found = {}
    for path, place in _places(adapter, config, str(file)):
        down, up = held[f"{place.name}.lora_a"], held[f"{place.name}.lora_b"]
        found[path] = down, in_halves(up, place.heads) * (alpha / up.shape[1] if alpha else 1.0)
    return found


def same_factors(adapter: PeftAdapter, found: dict[str, tuple[Tensor, Tensor]]) -> bool:
    """Whether these are the adapter's, to the last bit of float32."""
    pairs = ((adapter.factor(path, name), found[path][i]) for path in adapter.ranks for i, name in enumerate("AB"))
    return found.keys() == adapter.ranks.keys() and all(torch.equal(own.float(), other) for own, other in pairs)


def interleaved(rows: Tensor, heads: int) -> Tensor:
    """Row i of each head's first half, then row i of its second, and so on: (heads * size, n) -> the same.

    transformers rotates the halves of a head against each other, llama.cpp neighbours (`LlamaModel.permute` in its
    conversion/llama.py). Without heads, as they are.
    """
    if not heads:
        return rows
    return rows.reshape(heads, 2, -1, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def in_halves(rows: Tensor, heads: int) -> Tensor:
    """What `interleaved` made of these rows."""
    if not heads:
        return rows
    return rows.reshape(heads, -1, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def _places(adapter: PeftAdapter, config: Any, model: str) -> Iterator[tuple[str, Place]]:
    """Module paths, with their places. Raises InputError for one that has none."""
    from gguf import MODEL_ARCH_NAMES, MODEL_TENSOR, get_tensor_name_map

    known = _architecture(config, model)
    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == known.name)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    heads = config.num_attention_heads
    reordered = {
        MODEL_TENSOR.ATTN_Q: heads,
        MODEL_TENSOR.ATTN_K: getattr(config, "num_key_value_heads", None) or heads,
    }
    for path in adapter.ranks:
        found = names.get_type_and_name(f"{path}.weight", try_suffixes=(".weight",))
        if found is None:
            raise InputError(f"--gguf: {path} has no name in GGUF; leave it out, or adapt other targets")
        yield path, Place(found[1], reordered.get(found[0], 0) if known.interleaved else 0)


def _architecture(config: Any, model: str) -> Architecture:
    """Raises InputError where it is none of those that are known."""
    known = ARCHITECTURES.get(config.model_type)
    if known is None:
        raise InputError(
            f"--gguf: {printable(model)} is a {printable(config.model_type)} model, whose weights in GGUF are not "
            f"known here; there are: {', '.join(ARCHITECTURES)}; leave it out"
        )
    return known


def _config(recipe: Recipe) -> Any:
    from transformers import AutoConfig

    with loading(recipe.model, "no usable config.json"):
        return AutoConfig.from_pretrained(model_location(recipe.model), trust_remote_code=recipe.trust_remote_code)


def _plain(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().contiguous().numpy()
