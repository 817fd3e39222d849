"""Does llama.cpp compute with our GGUF adapter what we compute? Against its converter, and its runtime.

    python -m scripts.check_gguf --llama-cpp SOURCES
    python -m scripts.check_gguf --llama-cpp SOURCES --models demo:smollm2

SOURCES: a folder of llama.cpp's sources, as vendor/llama.cpp in the sdist of llama-cpp-python. Its runtime comes
from the package xllamacpp. For each model, small random ones of several types or a demo model, a pyramid of other
ranks from layer to layer is drawn at random on all linear layers. Told are, all in float32: whether the file that
llama.cpp's convert_lora_to_gguf.py makes of the PEFT form has the same tensors and keys; and, for the token after
each of several prefixes, how far the log-probabilities of all words by llama.cpp with the adapter, on a base that
its convert_hf_to_gguf.py wrote, are from ours, beside how far the adapter moves them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from numpy.typing import NDArray
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer

from msplora_search.adapters.bank import attach, detach
from msplora_search.adapters.peft_format import PeftAdapter, to_peft
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.forms.gguf_adapter import write_gguf
from msplora_search.tasks.processors import model_location

TYPES = ("llama", "mistral", "granite", "smollm3", "qwen2", "qwen3")
PREFIXES = (1, 2, 3, 5, 9, 17, 33, 64)
"""Tokens before the one that is judged."""
KEYS = ("general.type", "general.architecture", "adapter.type", "adapter.lora.alpha")
VOCABULARY = "demo:smollm2"
"""Its tokenizer is one that llama.cpp's converter knows."""
EVERY_WORD = 10**6
BASE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda *_: "smollm"
import convert_hf_to_gguf
convert_hf_to_gguf.main()
"""
"""llama.cpp's converter, told which vocabulary it is: it knows each by how a type of model takes texts apart, and
here several types have that of another. Prompts are numbers of tokens."""
Scores = NDArray[np.float64]


def main() -> None:
    """Check each model, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-cpp", type=Path, required=True, metavar="SOURCES")
    parser.add_argument("--models", nargs="+", default=list(TYPES))
    parser.add_argument("--no-runtime", action="store_true", help="compare with the converter alone")
    options = parser.parse_args()
    for name in options.models:
        with tempfile.TemporaryDirectory() as made:
            try:
                check(name, Path(made), options.llama_cpp, not options.no_runtime)
            except RuntimeError as error:
                print(f"{name}: {error}", flush=True)


def check(name: str, folder: Path, sources: Path, run: bool) -> None:
    """One model; files go into `folder`."""
    location = Path(model_location(name)) if ":" in name else small(name, folder / "model")
    model: Any = AutoModelForCausalLM.from_pretrained(location, dtype=torch.float32)
    model.eval()
    adapt(model)
    adapter = to_peft(model)
    write_gguf(adapter, model.config, folder / "ours.gguf", name, name)
    print(f"{name}: {converter_told(adapter, folder, location, sources)}", flush=True)
    if run:
        drawn = torch.Generator().manual_seed(0)
        ids = torch.randint(10, model.config.vocab_size, (1, PREFIXES[-1]), generator=drawn)
        ours = scores(model, ids)
        moved = np.abs(ours - scores(detach(model), ids)).max()
        convert(["-c", BASE, str(sources)], str(location), "--outfile", str(folder / "base.gguf"))
        apart = np.abs(by_llama_cpp(folder / "base.gguf", folder / "ours.gguf", ids[0].tolist()) - ours)
        print(
            f"{name}: log-probabilities by llama.cpp are at most {apart.max():.1e} from ours, "
            f"{apart.mean():.1e} on average; the adapter moves them by up to {moved:.1f}",
            flush=True,
        )


def small(model_type: str, folder: Path) -> Path:
    """A random model of two layers, heads that share keys, and a tokenizer of others."""
    tokenizer = AutoTokenizer.from_pretrained(model_location(VOCABULARY))
    fields: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "max_position_embeddings": 128,
        "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    auto: Any = AutoModelForCausalLM
    auto.from_config(CONFIG_MAPPING[model_type](**fields)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def adapt(model: Any) -> None:
    """A pyramid of two groups with random factors, of about the size of what they are added to."""
    layers = model.config.num_hidden_layers
    groups = [DepthGroup(0, layers // 2, 2, 0), DepthGroup(layers // 2, layers, 1, 3)]
    bank = attach(model, Pyramid(2, groups, ["all-linear"], 3.0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, factor in bank.named_parameters():
            width = factor.shape[1] if name.endswith(".A") else 12
            factor.copy_(torch.randn(factor.shape, generator=generator) / width**0.5 / 2)


def converter_told(adapter: PeftAdapter, folder: Path, base: Path, sources: Path) -> str:
    """How far what llama.cpp's converter makes of the PEFT form is from our file."""
    adapter.save(folder / "peft", None)
    where = ["--base", str(base), "--outfile", str(folder / "theirs.gguf")]
    convert([str(sources / "convert_lora_to_gguf.py")], str(folder / "peft"), *where)
    ours, theirs = (GGUFReader(folder / name) for name in ("ours.gguf", "theirs.gguf"))
    held, wanted = ({one.name: np.array(one.data) for one in reader.tensors} for reader in (ours, theirs))
    if held.keys() != wanted.keys():
        return f"other tensors than the converter's: {sorted(held.keys() ^ wanted.keys())[:4]}"
    fields = [[str(reader.fields[key].contents()) for key in KEYS] for reader in (ours, theirs)]
    keys = "the same keys" if fields[0] == fields[1] else f"other keys, {fields[0]} and {fields[1]}"
    apart = max(float(np.abs(held[name] - wanted[name]).max()) for name in held)
    return f"{len(held)} tensors as the converter's, at most {apart:.1e} apart; {keys}"


def convert(program: list[str], *words: str) -> None:
    """Run a converter of llama.cpp. Raises RuntimeError with its last line where it fails."""
    ran = [sys.executable, *program, *words, "--outtype", "f32"]
    done = subprocess.run(ran, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program[-1]} failed: {done.stderr.strip().splitlines()[-1]}")


@torch.no_grad()
def scores(model: Any, ids: torch.Tensor) -> Scores:
    """Our log-probabilities of the token after each prefix, (prefixes, words)."""
    logits = model(input_ids=ids).logits[0, [length - 1 for length in PREFIXES]]
    return np.asarray(logits.double().log_softmax(dim=-1).numpy())


def by_llama_cpp(base: Path, adapter: Path, ids: list[int]) -> Scores:
    """llama.cpp's, (prefixes, words), with keys and values kept in float32."""
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    params = xllamacpp.CommonParams()
    params.model.path = str(base)
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.verbosity = 0
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads, params.warmup = 128, 1, 1, False
    server, made = xllamacpp.Server(params), []
    for length in PREFIXES:
        asked = {"prompt": ids[:length], "max_tokens": 1, "logprobs": EVERY_WORD, "cache_prompt": False}
        (answer,) = server.handle_completions(asked)["choices"]
        row = {one["id"]: one["logprob"] for one in answer["logprobs"]["content"][0]["top_logprobs"]}
        made.append([row[word] for word in range(len(row))])
    return np.array(made)


if __name__ == "__main__":
    main()
