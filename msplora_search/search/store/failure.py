"""Why a trial failed, as far as that decides whether it is worth another attempt."""

from __future__ import annotations

import errno
import re

from msplora_search.errors import causes
from msplora_search.results.records import Failure

OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|std::bad_alloc|"
    r"MemoryError|OutOfMemoryError|_ALLOC_FAILED",
    re.IGNORECASE,
)
"""torch reports want of memory as RuntimeError, in the words of who noticed it."""
DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|Input/output error|disk is full", re.IGNORECASE
)
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def failure_of(error: BaseException) -> Failure:
    """The kind of failure behind an exception and what it was raised for."""
    kinds = [_kind(one) for one in causes(error)]
    return next((kind for kind in kinds if kind != Failure.ERROR), Failure.ERROR)


def failure_told(reason: str) -> Failure:
    """The kind of failure behind a stored reason, of a version that stored nothing else."""
    if OUT_OF_MEMORY.search(reason):
        return Failure.MEMORY
    if DISK_FULL.search(reason):
        return Failure.DISK
    return Failure.DIVERGED if reason.startswith("DivergedError") else Failure.ERROR


def _kind(error: BaseException) -> Failure:
    from msplora_search.proxy.training import DivergedError  # loads torch, which `status` can do without

    match error:
        case MemoryError():
            return Failure.MEMORY
        case DivergedError():
            return Failure.DIVERGED
        case OSError(errno=errno.ENOMEM):
            return Failure.MEMORY
        case OSError(errno=number) if number in DISK:
            return Failure.DISK
        case RuntimeError() | OSError():
            return failure_told(str(error))
        case _:
            return Failure.ERROR
