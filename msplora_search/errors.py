"""Errors that a user can mend: one line, exit code 2, nothing changed on disk."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Input that cannot be used. The text names where it stands, the value, and what would be right."""


def suggest(wrong: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for a misspelt name, or the list of names where none is close."""
    names = sorted(names)
    close = get_close_matches(wrong, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
