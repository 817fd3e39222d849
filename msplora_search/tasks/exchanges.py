"""Prompts and responses of a table, as a language model gets them."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any

from msplora_search.errors import InputError, suggest
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.answers import Spans, earlier_answers
from msplora_search.tasks.chat import messages_of, rendered, require_chat_template
from msplora_search.tasks.reading.cells import empty_note, texts
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import ids_of, keeps_line_breaks
from msplora_search.text import printable, shown

CLOSING = ".,:;?!=)]}%"
"""Signs that, as letters and digits do, want a space before what follows."""


@dataclass(frozen=True)
class Exchange:
    """One prompt, as the model gets it, and what it should answer, each with its special words written out."""

    prompt: str
    response: str
    earlier: Spans = ()
    """Of the prompt: answers in it that are trained on too."""


def exchanges(
    settings: TaskSettings, tokenizer: Any, table: Table, chat: bool, response: str = "response"
) -> tuple[list[Exchange], list[str]]:
    """The exchanges of a table, and notes on them.

    `response`: the setting that names the column of responses. `chat`: prompts go into the tokenizer's chat
    template where no template is given. Columns of a prompt are put below each other; where the tokenizer drops
    line breaks and no chat template stands between, its separating token stands there, or its end of a text.
    Behind a template that ends with a letter, a digit or a sign such as a colon, a response begins with a space,
    unless the tokenizer begins every text with one.

    Raises InputError naming column and row of what is no text, and where the tokenizer has no chat template.
    """
    if settings.messages is not None:
        cells = table.column("task.messages", settings.messages)
        require_chat_template(tokenizer)
        chats = [messages_of(table, settings.messages, row, cell) for row, cell in enumerate(cells)]
        every = settings.turns == "every"
        return [of_chat(tokenizer, table, row, said, every) for row, said in enumerate(chats)], []
    assert settings.prompt is not None
    prompts = texts(table, settings.prompt, "task.prompt")
    notes = [empty_note(table, settings.prompt, prompts, "task.prompt", all_empty=True)]
    responses = _responses(settings, table, response)
    if settings.template is not None:
        found = _filled_in(
            settings.template, settings.prompt, tokenizer, list(zip(*prompts, strict=True)), responses
        )
        notes.append(_space_note(found, responses))
        return found, [note for note in notes if note]
    between = between_columns(tokenizer, chat)
    asked = [between.join(cell for cell in cells if cell) for cells in zip(*prompts, strict=True)]
    if between != "\n" and len(prompts) > 1:
        notes.append(
            f"{shown(between)} stands between the columns of a prompt, for the tokenizer drops line breaks"
        )
    pairs = zip(asked, responses, strict=True)
    if not chat:
        return [Exchange(*pair) for pair in pairs], [note for note in notes if note]
    require_chat_template(tokenizer)
    said = [[{"role": "user", "content": a}, {"role": "assistant", "content": b}] for a, b in pairs]
    return [of_chat(tokenizer, table, row, one) for row, one in enumerate(said)], [note for note in notes if note]


def between_columns(tokenizer: Any, chat: bool) -> str:
    """What stands between the columns of a prompt that no template puts together."""
    return "\n" if chat or keeps_line_breaks(tokenizer) else tokenizer.sep_token or tokenizer.eos_token or " "


def _responses(settings: TaskSettings, table: Table, field: str) -> list[str]:
    name = getattr(settings, field)
    (responses,) = texts(table, [name], f"task.{field}")
    empty = next((row for row, response in enumerate(responses) if not response.strip()), None)
    if empty is not None:
        raise table.refused(f"task.{field}", name, empty, "is empty; it must be text")
    return responses


def of_chat(
    tokenizer: Any, table: Table, row: int, messages: list[dict[str, str]], every: bool = False
) -> Exchange:
    """A chat as an exchange, which ends with an answer. `every`: its earlier answers are trained on too.

    Raises InputError where the tokenizer's chat template changes what came before when more follows.
    """
    where = f"{printable(table.source)}: row {row + 1}"
    prompt = rendered(tokenizer, where, messages[:-1], add_generation_prompt=True)
    whole = rendered(tokenizer, where, messages, add_generation_prompt=False)
    if not whole.startswith(prompt):
        raise InputError(
            f"{where}: the tokenizer's chat template changes the prompt when the answer follows; "
            "give task.template with prompt and response columns",
            "task.template",
        )
    earlier = earlier_answers(tokenizer, where, messages, prompt) if every else ()
    return Exchange(prompt, whole[len(prompt) :], earlier)


def _filled_in(
    template: str, names: tuple[str, ...], tokenizer: Any, rows: list[tuple[str, ...]], responses: list[str]
) -> list[Exchange]:
    _require_columns(template, names)
    run_together = ":a" in tokenizer.decode([*ids_of(tokenizer, ":"), *ids_of(tokenizer, "a")])
    found = []
    for cells, response in zip(rows, responses, strict=True):
        prompt = _filled(template, dict(zip(names, cells, strict=True)))
        wants = run_together and _wants_space(prompt) and not response[0].isspace()
        found.append(Exchange(prompt, (" " if wants else "") + response + (tokenizer.eos_token or "")))
    return found


def _wants_space(prompt: str) -> bool:
    return prompt[-1:].isascii() and (prompt[-1:].isalnum() or prompt[-1:] in tuple(CLOSING))


def _space_note(found: list[Exchange], responses: list[str]) -> str:
    count = sum(not one.response.startswith(response) for one, response in zip(found, responses, strict=True))
    return (
        f"a space is put before {count:,} of {len(found):,} responses, for the template ends without"
        if count
        else ""
    )


def _filled(template: str, cells: dict[str, str]) -> str:
    pieces = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else cells[name]) for literal, name, _, _ in pieces)


def _require_columns(template: str, columns: tuple[str, ...]) -> None:
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"task.template: {error}; write a brace that is text twice", "task.template") from None
    named = {name for _, name, _, _ in pieces if name is not None}
    if any(spec or conversion for _, _, spec, conversion in pieces):
        raise InputError(
            "task.template: a brace may hold a column's name alone; write a brace that is text twice",
            "task.template",
        )
    if not named:
        raise InputError(
            f"task.template names no column; put {{{columns[0]}}} where the prompt goes", "task.template"
        )
    for name in named:
        if name not in columns:
            raise InputError(
                f"task.template: {{{printable(name)}}} is no column of task.prompt; {suggest(name, columns)}",
                "task.template",
            )
