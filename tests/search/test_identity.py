from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import psutil
import pytest

from msplora_search.search.store import identity
from msplora_search.search.store.identity import Crew, is_gone, this_worker

OURS, NOBODY = Crew("ours"), 2**22 + 1


def parent() -> dict[str, Any]:
    """The process that started this one, as a worker."""
    process = psutil.Process(os.getppid())
    return {**this_worker(OURS), "pid": process.pid, "started": process.create_time(), "token": "another"}


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({"started": 1.0}, True),
        ({"started": psutil.Process(os.getppid()).create_time() - 1.2}, False),
        ({"pid": NOBODY}, True),
        ({"pid": NOBODY, "host": "another"}, False),
        ({"pid": NOBODY, "namespace": "pid:[1]"}, False),
        ({"pid": NOBODY, "boot": "another", "started": psutil.boot_time() - 100}, False),
        ({"pid": os.getpid(), "started": psutil.Process().create_time()}, True),
    ],
    ids=[
        "lives", "number taken by another", "clock was set", "gone", "elsewhere", "namespace", "rebooted or twin",
        "own number, other token",
    ],
)  # fmt: skip
def test_a_process_is_gone_only_where_that_is_certain(changes: dict[str, Any], gone: bool) -> None:
    assert is_gone({**parent(), **changes}) is gone


def test_a_worker_of_an_older_version_is_judged_by_what_it_stored() -> None:
    known = {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}
    assert not is_gone(known)
    assert is_gone({**known, "pid": NOBODY})


def test_a_process_that_ended_but_was_not_waited_for_is_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(ended.pid).create_time()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone({**parent(), "pid": ended.pid, "started": started})
    ended.wait()


def test_forked_processes_are_told_apart() -> None:
    assert identity._token(os.getpid()) == identity._token(os.getpid())
    assert identity._token(1) != identity._token(2)


def test_alone_at_a_study_whatever_another_crew_began_is_orphaned() -> None:
    theirs = {**this_worker(Crew("theirs")), "host": "another"}
    ours = this_worker(OURS)
    assert OURS.orphaned(theirs)
    assert not OURS.orphaned(ours)
    assert OURS.next_round().orphaned(ours)
    shared = Crew.of_this_call("postgresql://host/db")
    assert not shared.orphaned(theirs)
    assert not shared.orphaned(ours)
    assert Crew.of_this_call(None).call != Crew.of_this_call(None).call
