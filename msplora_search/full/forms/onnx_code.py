"""The code of a model card that loads the ONNX form by onnxruntime, without torch, and asks it something."""

from __future__ import annotations

from dataclasses import replace

from msplora_search.full.cards.code import MOST_NEW, Usage, inputs_code, tags_code


def onnx_code(usage: Usage) -> str:
    """Load `onnx/` and ask it; the folder of the card is the current one."""
    of_images = usage.task.kind == "image-classification"
    imports = ["import numpy as np"] if usage.task.kind == "causal-lm" else []
    imports.append("import onnxruntime")
    imports += ["from PIL import Image"] if of_images else []
    trusted = ", trust_remote_code=True" if usage.trust_remote_code else ""
    lines = [
        *imports,
        f"from transformers import {usage.reads}",
        "",
        f'{usage.processor} = {usage.reads}.from_pretrained("onnx"{trusted})',
        'session = onnxruntime.InferenceSession("onnx/model.onnx", providers=["CPUExecutionProvider"])',
        *([f"names = [{', '.join(map(ascii, usage.outputs.names))}]"] if usage.outputs else []),
        "",
        *inputs_code(replace(usage, tensors="np")),
        *(_generated() if usage.task.kind == "causal-lm" else _scored(usage)),
    ]
    return "\n".join(lines)


def _scored(usage: Usage) -> list[str]:
    ran = [
        "given = {one.name: inputs[one.name] for one in session.get_inputs()}",
        "(scores,) = session.run(None, given)",
    ]
    match usage.task.kind:
        case "token-classification":
            return [*ran, *tags_code("names")]
        case "multi-label":
            told = "[[name for name, score in zip(names, row) if score > 0] for row in scores]"
        case "text-regression":
            told = "scores[:, 0].tolist()"
        case _:
            told = "[names[i] for i in scores.argmax(axis=-1)]"
    return [*ran, f"print({told})"]


def _generated() -> list[str]:
    """Greedy, each token by a pass over all before it: the file keeps no keys and values."""
    return [
        'generated = inputs["input_ids"]',
        "begins = generated.shape[1]",
        f"for _ in range({MOST_NEW}):",
        '    given = {"input_ids": generated, "attention_mask": np.ones_like(generated)}',
        "    (scores,) = session.run(None, given)",
        "    generated = np.concatenate([generated, scores[:, -1:].argmax(axis=-1)], axis=1)",
        "    if generated[0, -1] == tokenizer.eos_token_id:",
        "        break",
        "print(tokenizer.decode(generated[0, begins:], skip_special_tokens=True))",
    ]
