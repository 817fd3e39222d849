"""The README of a LoRA that was compressed without its task: what it is, and code that loads it."""

from __future__ import annotations

from pathlib import Path

from msplora_search.compression.compressing import Compression, Point
from msplora_search.compression.writing import pyramid_of
from msplora_search.full.cards.card import Base
from msplora_search.settings.document import dump
from msplora_search.text import code


def write_card(found: Compression, chosen: Point, folder: Path, base: Base, merged: bool) -> None:
    """Write `README.md`; no path of this machine stands in it."""
    lora, pyramid = found.lora, pyramid_of(found.lora, chosen)
    header = {"base_model": base.name} if base.is_id and lora.base_model else {}
    text = [
        "---",
        dump({**header, "library_name": "peft", "tags": ["lora", "msplora", "msplora-search"]}).rstrip("\n"),
        "---",
        "",
        "# A compressed LoRA",
        "",
        f"MSPLoRA pyramid {pyramid} on {code(base.name)}, targets {', '.join(map(code, pyramid.targets))}.",
        "",
        f"- Compressed from a LoRA of rank {lora.rank} with {lora.params:,} parameters: the pyramid has "
        f"{chosen.params:,}, and the relative error of the updates is {chosen.error:.2%}.",
        "- The task was not looked at: measure it before use.",
        "",
        "`peft/` is a stock LoRA adapter of one rank, filled up with zeros. Load it onto the base model, in the "
        "folder of this card:",
        "",
        "```python",
        "from peft import PeftModel",
        "",
        "# model: the base model, loaded with the head that the LoRA was trained with",
        'model = PeftModel.from_pretrained(model, "peft").eval()',
        "```",
        "",
        "`pyramid/` holds the shared form, every adapter once, for `msplora_search`:",
        "",
        "```python",
        "from msplora_search import load_pyramid",
        "",
        'load_pyramid(model, "pyramid")',
        "```",
        *(["", "`merged/` is a whole model; it needs no base and no PEFT."] if merged else []),
    ]
    (folder / "README.md").write_text("\n".join(text) + "\n", encoding="utf-8")
