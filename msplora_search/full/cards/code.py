"""The code of a model card: it loads a form of the delivered model by stock libraries, and asks it something."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from msplora_search.adapters.outputs import Outputs
from msplora_search.full.cards.embedding import loaded_by_sentence_transformers, pooled
from msplora_search.full.cards.reading import answering, choosing
from msplora_search.settings.kinds import OF_DECODERS
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.pooling import Pooling

CLASSES = "AutoModelForSequenceClassification"
MOST_NEW = 64
"""Tokens that the example of a language model may generate."""


@dataclass(frozen=True)
class Usage:
    """What the code depends on."""

    task: TaskSettings
    auto_class: str
    outputs: Outputs | None
    """What the head's outputs are called; None where words are scored."""
    base: str
    """The id of the base model, or the name of its folder."""
    base_is_folder: bool
    most_tokens: int
    between: str = ""
    """What stands between two texts, nothing where the tokenizer itself puts something there; between the columns
    of a prompt; or before every word but the first."""
    pooling: Pooling | None = None
    """How an embedding is made of tokens; None for other tasks."""
    all_answered: bool = False
    """Whether every question of the test part has an answer, so that one was always given."""
    dtype: str = "float32"
    trust_remote_code: bool = False
    tensors: str = "pt"
    """What the inputs are: tensors of torch, or "np", arrays of NumPy."""

    @property
    def reads(self) -> str:
        """The class that loads what makes the inputs."""
        return "AutoImageProcessor" if self.task.kind == "image-classification" else "AutoTokenizer"

    @property
    def processor(self) -> str:
        """What the code calls it."""
        return "processor" if self.task.kind == "image-classification" else "tokenizer"


def peft_code(usage: Usage) -> str:
    """Load `peft/` by PEFT and ask it; the folder of the card is the current one."""
    loaded = [
        *_imports(usage, "from peft import PeftModel"),
        *_base(usage),
        'model = PeftModel.from_pretrained(model, "peft").eval()',
    ]
    return _code(loaded, usage)


def merged_code(usage: Usage) -> str:
    """Load `merged/`, which needs no base and no PEFT, and ask it."""
    if usage.pooling:
        return "\n".join(loaded_by_sentence_transformers(usage.task, usage.dtype, usage.trust_remote_code))
    loaded = [
        *_imports(usage),
        f'{usage.processor} = {usage.reads}.from_pretrained("merged"{_trust(usage)})',
        f'model = {usage.auto_class}.from_pretrained("merged", dtype="{usage.dtype}"{_trust(usage)}).eval()',
    ]
    return _code(loaded, usage)


def pyramid_code(usage: Usage) -> str:
    """Load `pyramid/` by this program and ask it."""
    loaded = [
        *_imports(usage, "from msplora_search import load_pyramid"),
        *_base(usage),
        'load_pyramid(model, "pyramid")',
        "model.eval()",
    ]
    return _code(loaded, usage)


def _code(loaded: Sequence[str], usage: Usage) -> str:
    return "\n".join([*loaded, "", *_asked(usage)])


def _imports(usage: Usage, further: str | None = None) -> list[str]:
    lines = ["import torch"]
    if further and further.startswith("from peft"):
        lines.append(further)
    if usage.task.kind == "image-classification":
        lines.append("from PIL import Image")
    lines.append(f"from transformers import {', '.join(sorted((usage.auto_class, usage.reads)))}")
    if further and not further.startswith("from peft"):
        lines.append(further)
    return [*lines, ""]


def _base(usage: Usage) -> list[str]:
    """The base with a head for this task, and what makes its inputs, which lies beside the adapter."""
    where = "  # the folder of the model that was trained on" if usage.base_is_folder else ""
    lines = [
        f"base = {usage.base!a}{where}",
        f'{usage.processor} = {usage.reads}.from_pretrained("peft"{_trust(usage)})',
    ]
    given = [f'dtype="{usage.dtype}"']
    if usage.outputs:
        lines.append(f"names = [{', '.join(map(ascii, usage.outputs.names))}]")
        given += [
            "id2label=dict(enumerate(names))",
            "label2id={name: i for i, name in enumerate(names)}",
            *([f'problem_type="{usage.outputs.problem}"'] if usage.outputs.problem else []),
        ]
    if usage.outputs or usage.task.kind == "multiple-choice":  # a head of another task
        given.append("ignore_mismatched_sizes=True")
    lines.append(f"model = {usage.auto_class}.from_pretrained(")
    lines.append(f"    base, {', '.join(given)}{_trust(usage)}")
    lines.append(")")
    if usage.auto_class == CLASSES:
        lines.append("model.config.pad_token_id = tokenizer.pad_token_id")
    return lines


def _trust(usage: Usage) -> str:
    return ", trust_remote_code=True" if usage.trust_remote_code else ""


def _asked(usage: Usage) -> list[str]:
    match usage.task.kind:
        case "text-classification" | "text-regression" | "multi-label" | "image-classification":
            return [*inputs_code(usage), *_scored(usage)]
        case "token-classification":
            return [*inputs_code(usage), *_run(), *tags_code("model.config.id2label")]
        case "causal-lm" | "seq2seq-lm" | "preference":
            return _answered(usage)
        case "multiple-choice":
            return choosing(usage.task, usage.most_tokens, usage.between)
        case "extractive-qa":
            return answering(usage.task, usage.most_tokens, usage.between, usage.all_answered)
        case "embedding":
            assert usage.pooling is not None
            return pooled(usage.task, usage.pooling, usage.most_tokens)


def _answered(usage: Usage) -> list[str]:
    if usage.task.kind in OF_DECODERS:
        return [*_prompt(usage), *_generated('[0, inputs["input_ids"].shape[1] :]')]
    cut = f"inputs = tokenizer(prompt, truncation=True, max_length={usage.most_tokens}, {_as(usage)})"
    return [*_prompt_of_columns(usage), cut, *_generated("[0]")]


def inputs_code(usage: Usage) -> list[str]:
    """Lines that make `inputs` for a model that answers in one pass over them."""
    match usage.task.kind:
        case "image-classification":
            return _images(usage)
        case "causal-lm":
            return _prompt(usage)
        case "token-classification":
            return _sentences(usage)
        case _:
            return _texts(usage)


def _as(usage: Usage) -> str:
    return f'return_tensors="{usage.tensors}"'


def _images(usage: Usage) -> list[str]:
    opened = 'images = [Image.new("RGB", (64, 64), "white")]  # or Image.open("picture.png")'
    return [opened, f"inputs = processor(images, {_as(usage)})"]


def _texts(usage: Usage) -> list[str]:
    cut = f"padding=True, truncation=True, max_length={usage.most_tokens}, {_as(usage)}"
    columns = usage.task.text or ()
    if len(columns) == 1:
        return [f"texts = [{f'some {columns[0]}'!a}]", f"inputs = tokenizer(texts, {cut})"]
    lists = [f"{name} = [{f'some {column}'!a}]" for name, column in zip(("first", "second"), columns, strict=True)]
    if not usage.between:
        return [*lists, f"inputs = tokenizer(first, second, {cut})"]
    joined = f"texts = [a + {usage.between!a} + b for a, b in zip(first, second)]"
    return [*lists, joined, f"inputs = tokenizer(texts, {cut})"]


def _scored(usage: Usage) -> list[str]:
    told = "[model.config.id2label[i] for i in scores.argmax(dim=-1).tolist()]"
    if usage.task.kind == "text-regression":
        told = "scores.squeeze(-1).tolist()"
    if usage.task.kind == "multi-label":
        of_row = "[model.config.id2label[i] for i, score in enumerate(row) if score > 0.5]"
        told = f"[{of_row} for row in scores.sigmoid().tolist()]"
    return [*_run(), f"print({told})"]


def _run() -> list[str]:
    return ["with torch.inference_mode():", "    scores = model(**inputs).logits.float()"]


def _sentences(usage: Usage) -> list[str]:
    """Sentences as lists of words."""
    cut = f"padding=True, truncation=True, max_length={usage.most_tokens}, {_as(usage)}"
    read = "sentences"
    if usage.between:
        read = f"[[*words[:1], *({usage.between!a} + word for word in words[1:])] for words in sentences]"
    return [
        'sentences = [["some", "words"]]',
        f"inputs = tokenizer({read}, is_split_into_words=True, {cut})",
    ]


def tags_code(names: str) -> list[str]:
    """Lines that print the words of `sentences` with their tags by `scores`: that of a word's first token."""
    return [
        "for row, words in enumerate(sentences):",
        "    of_token = inputs.word_ids(row)",
        "    firsts = {of_token.index(word): word for word in of_token if word is not None}",
        "    best = scores[row].argmax(axis=-1).tolist()",
        f"    print([(words[word], {names}[best[place]]) for place, word in firsts.items()])",
    ]


def _prompt(usage: Usage) -> list[str]:
    """The tokens of a prompt for a decoder: in the chat template, or in the task's own."""
    if usage.task.template is not None:
        return [*_prompt_of_columns(usage), f"inputs = tokenizer(prompt, {_as(usage)})"]
    told = "prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)"
    coded = f"inputs = tokenizer(prompt, add_special_tokens=False, {_as(usage)})"
    return ['messages = [{"role": "user", "content": "some prompt"}]', told, coded]


def _prompt_of_columns(usage: Usage) -> list[str]:
    task = usage.task
    columns = task.prompt or ()
    cells = ", ".join(f"{column!a}: {f'some {column}'!a}" for column in columns)
    if task.template is None:
        return [f"cells = {{{cells}}}", f"prompt = {usage.between!a}.join(cells.values())"]
    pieces = []
    for literal, name, _, _ in string.Formatter().parse(task.template):
        pieces += [ascii(literal)] if literal else []
        pieces += [f"cells[{name!a}]"] if name is not None else []
    return [f"cells = {{{cells}}}", f"prompt = {' + '.join(pieces)}"]


def _generated(place: str) -> list[str]:
    return [
        "with torch.inference_mode():",
        f"    generated = model.generate(**inputs, max_new_tokens={MOST_NEW}, do_sample=False)",
        f"print(tokenizer.decode(generated{place}, skip_special_tokens=True))",
    ]
