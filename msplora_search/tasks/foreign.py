"""Around what transformers reads of a model's files: no log line of its own, and one line where it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msplora_search.adapters.hub import hub_cache_fault
from msplora_search.errors import InputError
from msplora_search.text import printable


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the log lines of transformers below an error; its progress bars are off from then on."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def loading(model: str, what: str, advice: str = "") -> Iterator[None]:
    """Quietly; whatever goes wrong is an InputError: `what` is the matter with `model`, and `advice`.

    Files of others can make a library raise anything.
    """
    try:
        with quiet_transformers():
            yield
    except InputError as error:
        raise InputError(str(error), error.field or "model") from None
    except Exception as error:
        why = hub_cache_fault(error) or _own_code(error) or f"{what}: {first_line(error)}{advice}"
        raise InputError(f"model {printable(model)}: {why}", "model") from None


def _own_code(error: Exception) -> str | None:
    if "trust_remote_code" not in str(error):
        return None
    return (
        "comes with code of its own, which is run only where the study says trust_remote_code: true; "
        "read that code first"
    )


def first_line(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return printable(lines[0]) if lines else type(error).__name__
