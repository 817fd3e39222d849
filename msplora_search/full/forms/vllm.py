"""Whether vLLM would take an adapter, by the rules in its source, and the command that serves it.

The rules are those of vLLM's main branch in 2026: `MaxLoRARanks` in vllm/config/lora.py, `PEFTHelper` in
vllm/lora/peft_helper.py, `check_unexpected_modules` in vllm/lora/lora_model.py, and the LoRA column of
docs/models/supported_models.md. vLLM itself is not run by this program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msplora_search.text import brief

MAX_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` may be."""
OF_LLAMA = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
MODULES = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), OF_LLAMA),
    **dict.fromkeys(("granite", "smollm3", "olmo2"), OF_LLAMA),
    "phi3": frozenset({"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
}
"""Modules of a layer that vLLM adapts, by model type of transformers; it adapts all linear ones."""
UNADAPTED = ("bloom", "falcon", "gpt2", "gpt_neox", "gptj", "mamba", "mamba2", "mpt", "olmoe", "stablelm")
"""Model types that vLLM runs without adapters."""
CHANGES_WEIGHTS = ("use_dora", "lora_bias", "alora_invocation_tokens", "layer_replication", "use_qalora")
"""Fields of an adapter's config that vLLM refuses where they are set."""


@dataclass(frozen=True)
class Verdict:
    """What vLLM's rules say of an adapter."""

    broken: tuple[str, ...]
    """The rules that it breaks, each in a few words."""
    max_rank: int
    """The smallest `--max-lora-rank` that holds it; of no use where a rule is broken."""


def verdict(adapter: Mapping[str, Any], model_type: str) -> Verdict:
    """Judge the content of an `adapter_config.json` for a base model of `model_type`."""
    own = adapter.get("rank_pattern") or {}
    rank = max([int(adapter["r"]), *own.values()])
    fitting = [size for size in MAX_RANKS if size >= rank]
    broken = []
    if not fitting:
        broken.append(f"rank {rank} is above {MAX_RANKS[-1]}, the largest --max-lora-rank")
    if own or adapter.get("alpha_pattern"):
        broken.append("ranks or alphas differ between modules, which older versions do not read")
    if saved := adapter.get("modules_to_save"):
        broken.append(f"whole modules are stored (modules_to_save: {_named(saved)})")
    if adapter.get("bias", "none") != "none":
        broken.append("biases are adapted")
    broken += [f"{field} is set" for field in CHANGES_WEIGHTS if adapter.get(field)]
    broken += _of_modules(adapter.get("target_modules") or [], model_type)
    return Verdict(tuple(broken), fitting[0] if fitting else MAX_RANKS[-1])


def _of_modules(targets: Any, model_type: str) -> list[str]:
    """What is the matter with the adapted modules; targets: their paths, or a pattern of them."""
    if model_type in UNADAPTED:
        return [f"vLLM runs {model_type} models without adapters"]
    known = MODULES.get(model_type)
    if known is None:
        return [f"it is not known here which modules of {brief(model_type)} models vLLM adapts"]
    if isinstance(targets, str):
        return ["its targets are a pattern, not a list of modules"]
    odd = {path.rpartition(".")[2] for path in targets} - known
    return [f"vLLM does not adapt {_named(odd)} of {model_type} models"] if odd else []


def served_by(found: Verdict, base: str, trust_remote_code: bool) -> str:
    """The command that serves the adapter in `peft/`, as `adapter`.

    A name of the base that a shell might read otherwise is left to be filled in.
    """
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", base)
    trusted = " --trust-remote-code" if trust_remote_code else ""
    return (
        f"vllm serve {base if plain else 'BASE'} --enable-lora --max-lora-rank {found.max_rank} "
        f"--lora-modules adapter=peft{trusted}"
    )


def _named(names: Any) -> str:
    return ", ".join(brief(str(name)) for name in sorted(names))
