"""Text from data, models and file names, as it may be shown: nothing in it acts on whoever shows it."""

from __future__ import annotations

import unicodedata

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of control, formatting (such as writing direction) and surrogate characters, and of
line and paragraph breaks."""
JOINER = "\u200d"
"""Formatting that many scripts and emoji need."""


def printable(text: str) -> str:
    r"""One line without control characters: an escape sequence shows as `\x1b[31m`, a line break as `\n`."""
    return "".join(_written_out(c) if unicodedata.category(c) in INVISIBLE and c != JOINER else c for c in text)


def shown(value: object, most: int = 80) -> str:
    """A value as an error message shows it: its `repr` in one line, cut in the middle where it is long."""
    cut = value[: 4 * most] if isinstance(value, str | bytes | list | tuple) else value  # 100 MB take a while
    text = printable(repr(cut))
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
