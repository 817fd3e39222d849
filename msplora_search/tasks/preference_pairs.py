"""A preferred and a rejected response to each prompt of a table, as a language model gets them."""

from __future__ import annotations

from typing import Any

from msplora_search.errors import InputError
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.chat import messages_of, require_chat_template
from msplora_search.tasks.exchanges import Exchange, exchanges, of_chat
from msplora_search.tasks.reading.cells import text_of
from msplora_search.tasks.reading.table import Table
from msplora_search.text import shown

Pair = tuple[Exchange, Exchange]
"""The preferred and the rejected one; their prompts are the same."""
Chat = list[dict[str, str]]


def pairs(settings: TaskSettings, tokenizer: Any, table: Table) -> tuple[list[Pair], list[str]]:
    """The pairs of a table, and notes on them; see `exchanges` for how prompts and responses are put together.

    Responses are texts, or chats where the first of them is a list: the whole chat with its last answer, or that
    answer alone as a list of one message, behind the prompt column's text or messages.
    Raises InputError naming column and row of what is neither, and of chats that differ in more than the answer.
    """
    assert settings.chosen is not None
    assert settings.rejected is not None
    cells = table.column("task.chosen", settings.chosen)
    if cells and isinstance(cells[0], list):
        return _of_chats(settings, tokenizer, table), []
    chosen, notes = exchanges(settings, tokenizer, table, chat=True, response="chosen")
    rejected, further = exchanges(settings, tokenizer, table, chat=True, response="rejected")
    return list(zip(chosen, rejected, strict=True)), list(dict.fromkeys([*notes, *further]))


def _of_chats(settings: TaskSettings, tokenizer: Any, table: Table) -> list[Pair]:
    if settings.template is not None:
        raise InputError(
            "task.template is for texts, but the chosen responses are chats, which have the tokenizer's chat "
            "template; leave it out",
            "task.template",
        )
    require_chat_template(tokenizer)
    found = []
    for row in range(table.rows):
        chats = [_chat(settings, table, field, row) for field in ("chosen", "rejected")]
        if chats[0][:-1] != chats[1][:-1]:
            said = "has other messages before its answer than the chosen one; they must differ in the answer alone"
            raise table.refused("task.rejected", str(settings.rejected), row, said)
        chosen, rejected = (of_chat(tokenizer, table, row, chat) for chat in chats)
        found.append((chosen, rejected))
    return found


def _chat(settings: TaskSettings, table: Table, field: str, row: int) -> Chat:
    """The messages of the setting `field`, with those of the prompt before them where there is but one."""
    name = str(getattr(settings, field))
    cell = table.column(f"task.{field}", name)[row]
    if isinstance(cell, list) and len(cell) == 1:
        cell = [*_asked(settings, table, row), *cell]
    return messages_of(table, name, row, cell, f"task.{field}")


def _asked(settings: TaskSettings, table: Table, row: int) -> list[Any]:
    """The prompt as messages."""
    if settings.prompt is None or len(settings.prompt) > 1:
        raise InputError("task.prompt: one column must hold the prompts of chats", "task.prompt")
    name = settings.prompt[0]
    cell = table.column("task.prompt", name)[row]
    if isinstance(cell, list):
        return cell
    text = text_of(cell)
    if not text:
        raise table.refused("task.prompt", name, row, f"is {shown(cell)}; it must be text, or a list of messages")
    return [{"role": "user", "content": text}]
