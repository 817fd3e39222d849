"""Writes a model in GGUF format out as plain safetensors: python -m ... FOLDER FILE TO."""

from __future__ import annotations

import sys
from typing import Any

import torch


def main(folder: str, file: str, to: str) -> None:
    """Write model and tokenizer of `folder`/`file` into `to`, the weights in bf16."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=file,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        trust_remote_code=False,
    )
    model.to(torch.bfloat16).save_pretrained(to)
    AutoTokenizer.from_pretrained(folder, gguf_file=file, trust_remote_code=False).save_pretrained(to)


if __name__ == "__main__":
    main(*sys.argv[1:])
