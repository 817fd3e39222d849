"""Around what libraries read of foreign models and data sets: quiet, and one line where it fails."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msplora_search.errors import InputError, causes
from msplora_search.text import brief

CODE_IN_A_STUDY = (
    "comes with code of its own, which is run only where the study says trust_remote_code: true; "
    "read that code first"
)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without warnings and transformers' log lines below an error; its progress bars are off from then on."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def loading(model: str, what: str, advice: str = "", code: str = CODE_IN_A_STUDY) -> Iterator[None]:
    """Quietly; whatever goes wrong is an InputError: `what` is the matter with `model`, and `advice`.

    `code`: what is said of a model that has code of its own. Files of others can make a library raise anything.
    """
    try:
        with quiet_transformers():
            yield
    except InputError as error:
        raise InputError(str(error), error.field or "model") from None
    except Exception as error:
        own_code = code if "trust_remote_code" in str(error) else None
        why = hub_cache_fault(error) or own_code or f"{what}: {in_one_line(error)}{advice}"
        raise InputError(f"model {brief(model, 200)}: {why}", "model") from None


def hub_cache_fault(error: BaseException, cache: str | None = None) -> str | None:
    """One line where `error` comes from the cache of what is from the hub; None where it does not.

    `cache`: a further folder that belongs to it. Libraries wrap what the system said, so causes are looked at too.
    """
    from huggingface_hub import constants

    named = (constants.HF_HOME, constants.HF_HUB_CACHE, *([cache] if cache else []))
    roots = [Path(os.path.abspath(root)) for root in named]
    for cause in causes(error):
        file = cause.filename if isinstance(cause, OSError) else None
        if not isinstance(file, str | bytes | os.PathLike):
            continue
        path = Path(os.path.abspath(os.fsdecode(file)))
        for root in reversed(roots):
            if path.is_relative_to(root) or root.is_relative_to(path):
                said = getattr(cause, "strerror", None) or type(cause).__name__
                return (
                    f"the hub's cache {brief(str(root), 200)} cannot be used: {said}; "
                    "set HF_HOME to a folder that can be written and has room"
                )
    return None


def in_one_line(error: BaseException) -> str:
    """What an exception says; its kind where it says nothing."""
    return brief(" ".join(str(error).split()), 300) or type(error).__name__
