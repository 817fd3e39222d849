"""Chats: their messages out of a cell, and the tokenizer's chat template around them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jinja2 import TemplateError

from msplora_search.errors import InputError
from msplora_search.tasks.reading.cells import text_of
from msplora_search.tasks.reading.table import Table
from msplora_search.text import printable, shown

FIELD = "task.messages"
MOST_STEPS = 2_000_000
"""Lines of Python that a chat template may run for one chat; a real one runs some dozens a message."""


def messages_of(table: Table, column: str, row: int, cell: Any, field: str = FIELD) -> list[dict[str, str]]:
    """The messages of a chat, with their content as text. Raises InputError naming row and message otherwise.

    `field`: the setting that names the column.
    """
    known = isinstance(cell, list) and len(cell) > 1
    if not known or not all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in cell):
        raise _refused(table, column, row, cell, field)
    found = []
    for place, message in enumerate(cell, start=1):
        role, content = message["role"], _content(message["content"])
        if not isinstance(role, str) or content is None or message.get("tool_calls"):
            what = "calls tools" if message.get("tool_calls") else f"is {shown(message)}"
            said = f"has a message {place} that {what}; it must have a role, and text or parts of text as content"
            raise table.refused(field, column, row, said)
        found.append({"role": role, "content": content})
    if found[-1]["role"] != "assistant" or not found[-1]["content"]:
        raise _refused(table, column, row, cell, field)
    return found


def rendered(tokenizer: Any, where: str, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """Messages in the tokenizer's chat template.

    The template is a program of the model's: it runs in the sandbox of Jinja, which lets it reach nothing, and
    for at most `MOST_STEPS` lines, so that no loop runs for ever. Raises InputError where it fails; `where` names
    the row.
    """
    try:
        with _at_most(MOST_STEPS):
            return str(
                tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
    except Exception as error:
        said = printable(str(error) or type(error).__name__)
        raise InputError(
            f"{where}: the tokenizer's chat template refuses the messages {shown(messages)}: {said}; "
            "give task.template with prompt and response columns"
        ) from None


def require_chat_template(tokenizer: Any) -> None:
    """Raise InputError where the tokenizer has none."""
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "task.template is missing, and the model's tokenizer has no chat template; "
            'give one with the prompt columns in braces, such as "Question: {prompt}\\nAnswer: "',
            "task.template",
        )


def _content(content: Any) -> str | None:
    """Text as it is, or the texts of its parts one behind the other, as chat templates write them."""
    if not isinstance(content, list):
        return None if content is None else text_of(content)
    parts = [
        part["text"] if isinstance(part, dict) and part.get("type") == "text" and "text" in part else None
        for part in content
    ]
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if len(texts) == len(parts) else None


def _refused(table: Table, column: str, row: int, cell: Any, field: str) -> InputError:
    wanted = "a list of {role, content} that ends with an answer of the role assistant"
    return table.refused(field, column, row, f"is {shown(cell)}; it must be {wanted}")


@contextmanager
def _at_most(steps: int) -> Iterator[None]:
    """Stop what is run in the block, by TemplateError, after so many lines of Python."""
    left = steps

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TemplateError(f"it runs for more than {steps:,} steps")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
