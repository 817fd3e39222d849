"""Errors that a user can mend: one line, exit code 2, nothing changed on disk."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from msplora_search.text import brief, shown


class InputError(Exception):
    """Input that cannot be used. The text names where it stands, the value, and what would be right.

    `field`: the setting that asked for it, such as `task.label`, where the place of that setting in its
    file is worth telling; `placed` puts it in front.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotBegunError(InputError):
    """There is no study yet, or nothing of it was begun."""


class DamagedError(InputError):
    """A file that this program stored, and cannot read any more."""


class WorkerStoppedError(Exception):
    """A worker takes no more trials, for what it begins fails; the text names the trials and the last reason."""


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


MOST_NAMES = 20
"""That a message lists; of 1,000 columns a reader looks at none."""


def suggest(wrong: str, names: Iterable[str]) -> str:
    """`did you mean 'x'?` for a misspelt name, or the list of names where none is close."""
    others = sorted({name for name in names if name != wrong})
    close = get_close_matches(wrong[:100], others, n=1)
    if close:
        return f"did you mean {shown(close[0])}?"
    more = f", ... ({len(others) - MOST_NAMES:,} more)" if len(others) > MOST_NAMES else ""
    return f"there are: {', '.join(brief(name) for name in others[:MOST_NAMES])}{more}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and what it came from, one after the other."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|std::bad_alloc|"
    r"MemoryError|OutOfMemoryError|_ALLOC_FAILED|could not (?:create|execute) a primitive(?! descriptor)",
    re.IGNORECASE,
)
"""torch reports want of memory as RuntimeError, in the words of who noticed it: oneDNN, which made a plan that it
finds no room for, says that it cannot create the primitive."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says, for itself, that memory did not suffice."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | OSError) and NO_MEMORY.search(str(error)) is not None
