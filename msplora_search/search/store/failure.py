"""Why a trial failed, as far as that decides whether it is worth another attempt."""

from __future__ import annotations

import errno
import re

from msplora_search.errors import NO_MEMORY, causes, lacks_memory
from msplora_search.results.records import Failure

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
    if NO_MEMORY.search(reason):
        return Failure.MEMORY
    if DISK_FULL.search(reason):
        return Failure.DISK
    kinds = {"DivergedError": Failure.DIVERGED, "OutOfTimeError": Failure.TIME}
    return kinds.get(reason.partition(":")[0], Failure.ERROR)


def _kind(error: BaseException) -> Failure:
    # they load torch, which `status` can do without
    from msplora_search.proxy.limit import OutOfTimeError
    from msplora_search.proxy.training import DivergedError

    if lacks_memory(error):
        return Failure.MEMORY
    match error:
        case DivergedError():
            return Failure.DIVERGED
        case OutOfTimeError():
            return Failure.TIME
        case OSError(errno=number) if number in DISK:
            return Failure.DISK
        case RuntimeError() | OSError():
            return failure_told(str(error))
        case _:
            return Failure.ERROR
