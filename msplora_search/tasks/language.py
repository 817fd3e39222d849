"""What language models have in common: prompts and responses of a table, and what is made of token scores."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jinja2 import TemplateError
from torch import Tensor, nn

from msplora_search.errors import InputError, suggest
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.tables import Table, texts
from msplora_search.tasks.tokens import pad_of

NOT_ASKED = -100
"""Stands in targets where no token is asked for, as everywhere in transformers."""


@dataclass(frozen=True)
class Exchange:
    """One prompt, as the model gets it, and what it should answer, each with its special words written out."""

    prompt: str
    response: str


def exchanges(settings: TaskSettings, tokenizer: Any, table: Table, chat: bool) -> Iterator[Exchange]:
    """The exchanges of a table. `chat`: put prompts into the tokenizer's chat template where no template is given.

    Raises InputError naming column and row of what is no text, and where the tokenizer has no chat template.
    """
    if settings.messages is not None:
        rows = table.column("task.messages", settings.messages)
        _require_chat_template(tokenizer)
        yield from (_of_chat(tokenizer, _messages(table, settings.messages, i, row)) for i, row in enumerate(rows))
        return
    assert settings.prompt is not None
    assert settings.response is not None
    prompts = texts(table, settings.prompt, "task.prompt")
    (responses,) = texts(table, [settings.response], "task.response")
    if settings.template is not None:
        _require_columns(settings.template, settings.prompt)
    elif chat:
        _require_chat_template(tokenizer)
    for i, (*cells, response) in enumerate(zip(*prompts, responses, strict=True)):
        if not response.strip():
            raise InputError(
                f"{table.source}: row {i + 1} of column {settings.response!r} is empty; it must be text"
            )
        if settings.template is not None:
            filled = _filled(settings.template, dict(zip(settings.prompt, cells, strict=True)))
            yield Exchange(filled, response + (tokenizer.eos_token or ""))
            continue
        asked = "\n".join(cell for cell in cells if cell)
        if chat:
            said = [{"role": "user", "content": asked}, {"role": "assistant", "content": response}]
            yield _of_chat(tokenizer, said)
        else:
            yield Exchange(asked, response)


def chance_of(metric: str, tokenizer: Any) -> float:
    """The metric where every token of the vocabulary is equally likely."""
    return -math.log(len(tokenizer)) if metric == "loss" else 0.0


def asked_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """logits: (batch, tokens, words), each for the target at its place -> (asked tokens, words)."""
    return logits[targets != NOT_ASKED]


def token_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the asked tokens, in fp32: ()."""
    return F.cross_entropy(scores.float(), targets[targets != NOT_ASKED])


def token_sums(metric: str, scores: Tensor, targets: Tensor) -> Tensor:
    """Summed loss, or number of right tokens, of each example: (batch,), fp32."""
    asked = targets != NOT_ASKED
    wanted = targets[asked]
    if metric == "loss":
        values = F.cross_entropy(scores.float(), wanted, reduction="none")
    else:
        values = (scores.argmax(dim=-1) == wanted).float()
    sums = torch.zeros(len(targets), device=values.device)
    return sums.index_add_(0, asked.nonzero()[:, 0], values)


def answered(tokenizer: Any, generated: Tensor, targets: Tensor) -> Tensor:
    """1 where the generated text is the one asked for, special tokens and outer spaces aside: (batch,), fp32."""
    right = []
    for found, wanted in zip(generated, targets, strict=True):
        texts_of = [
            tokenizer.decode(ids, skip_special_tokens=True) for ids in (found, wanted[wanted != NOT_ASKED])
        ]
        right.append(float(texts_of[0].strip() == texts_of[1].strip()))
    return torch.tensor(right)


def answer(model: nn.Module, tokenizer: Any, inputs: dict[str, Tensor], targets: Tensor, most_new: int) -> Tensor:
    """Greedy generation, whatever the model's own settings for it say: (batch, tokens).

    A response ends with the model's end of text, the tokenizer's, or the last special token that the wanted
    responses have, which closes a turn of a chat.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    for row in targets:
        special = [token for token in row.tolist() if token in tokenizer.all_special_ids]
        ends.update(special[-1:])
    generated: Tensor = model.generate(  # type: ignore[operator]
        **inputs,
        max_new_tokens=most_new,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_length=0,
        pad_token_id=pad_of(tokenizer),
        eos_token_id=sorted(ends - {None}),
    )
    return generated


def cut_note(prompts: int, responses: int, rows: int, max_length: int) -> str:
    """What had to be cut."""
    told = []
    if prompts:
        told.append(f"{prompts:,} of {rows:,} prompts lose their beginning")
    if responses:
        told.append(f"{responses:,} of {rows:,} responses lose their end")
    return f"{' and '.join(told)} to fit {max_length} tokens" if told else ""


def _of_chat(tokenizer: Any, messages: list[dict[str, str]]) -> Exchange:
    try:
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
    except TemplateError as error:
        raise InputError(
            f"task: the tokenizer's chat template refuses the messages {messages!r}: {error}"
        ) from None
    if not whole.startswith(prompt):
        raise InputError(
            "task: the tokenizer's chat template changes the prompt when the answer follows; "
            "give task.template with prompt and response columns"
        )
    return Exchange(prompt, whole[len(prompt) :])


def _messages(table: Table, column: str, row: int, cell: Any) -> list[dict[str, str]]:
    good = isinstance(cell, list) and len(cell) > 1
    good = good and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in cell)
    if not good or cell[-1]["role"] != "assistant" or not cell[-1]["content"]:
        raise InputError(
            f"{table.source}: row {row + 1} of column {column!r} is {cell!r}; "
            "it must be a list of {role, content} that ends with an answer of the role assistant"
        )
    return [{"role": m["role"], "content": m["content"]} for m in cell]


def _filled(template: str, cells: dict[str, str]) -> str:
    pieces = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else cells[name]) for literal, name, _, _ in pieces)


def _require_chat_template(tokenizer: Any) -> None:
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "task.template is missing, and the model's tokenizer has no chat template; "
            'give one with the prompt columns in braces, such as "Question: {prompt}\\nAnswer: "'
        )


def _require_columns(template: str, columns: tuple[str, ...]) -> None:
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"task.template: {error}; write a brace that is text twice") from None
    named = {name for _, name, _, _ in pieces if name is not None}
    if any(spec or conversion for _, _, spec, conversion in pieces):
        raise InputError("task.template: a brace may hold a column's name alone; write a brace that is text twice")
    if not named:
        raise InputError(f"task.template names no column; put {{{columns[0]}}} where the prompt goes")
    for name in named:
        if name not in columns:
            raise InputError(f"task.template: {{{name}}} is no column of task.prompt; {suggest(name, columns)}")
