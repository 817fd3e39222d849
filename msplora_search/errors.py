"""Errors that a user can mend: one line, exit code 2, nothing changed on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class InputError(Exception):
    """Input that cannot be used. The text names where it stands, the value, and what would be right.

    `field`: the setting that asked for it, such as `task.label`, where the place of that setting in its
    file is worth telling; `placed` puts it in front.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@contextmanager
def placed(origin: Callable[[str], str | None]) -> Iterator[None]:
    """Put the place of a setting, as `origin` tells it for a field, in front of an InputError on that field."""
    try:
        yield
    except InputError as error:
        place = origin(error.field) if error.field else None
        if place is None:
            raise
        raise InputError(f"{place}: {error}") from None


def suggest(wrong: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for a misspelt name, or the list of names where none is close."""
    names = sorted(names)
    close = get_close_matches(wrong, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
