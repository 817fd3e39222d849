"""Who trains a trial, so that a later process can tell whether it still does."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

CLOCK = 2.0
"""Seconds by which two readings of one process's start differ after the clock was set."""


@dataclass(frozen=True)
class Crew:
    """The processes of one `run`."""

    call: str
    """Random; shared by all processes that one command starts."""
    alone: bool = True
    """Whether nobody else can be at the study: it lies in the output folder's own file, whose lock is held."""
    retry_failed: bool = False
    """Whether to train trials anew that failed for a reason that is likely to come again."""
    round: int = 0
    """How often the command had to start workers anew."""
    stays: bool = True
    """Whether it waits at the end until the trials of other crews have ended, and trains what these leave."""

    @classmethod
    def of_this_call(cls, storage: str | None, retry_failed: bool = False, stays: bool = True) -> Crew:
        """The first crew of a command; `storage` as the command was given it."""
        return cls(secrets.token_hex(8), storage is None, retry_failed, stays=stays)

    def next_round(self) -> Crew:
        """The crew that follows when this one has ended."""
        return replace(self, round=self.round + 1)

    def started(self, worker: Mapping[str, Any]) -> bool:
        """Whether a worker, as `this_worker` described it, belongs to this crew."""
        return (worker.get("call"), worker.get("round")) == (self.call, self.round)

    def orphaned(self, worker: Mapping[str, Any]) -> bool:
        """Whether what a worker began will not be ended by it."""
        return (self.alone and not self.started(worker)) or is_gone(worker)


def this_worker(crew: Crew) -> dict[str, Any]:
    """What is stored of the present process with its trials."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "boot": _boot(),
        "namespace": _namespace(),
        "token": _token(os.getpid()),
        "call": crew.call,
        "round": crew.round,
    }


def is_gone(worker: Mapping[str, Any]) -> bool:
    """Whether a process is certainly no more; one that cannot be seen from here is taken to live.

    Of another machine of the same name, of this one before it started anew, and of another container only signs of
    life tell (`heart.py`). Fields that an older version did not store are not compared.
    """
    seen_from = {"host": platform.node(), "boot": _boot(), "namespace": _namespace()}
    if any(worker.get(name, here) != here for name, here in seen_from.items()):
        return False
    if worker["pid"] == os.getpid() and "token" in worker:
        return bool(worker["token"] != _token(os.getpid()))
    try:
        process = psutil.Process(worker["pid"])
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - worker["started"]) > CLOCK
    except psutil.NoSuchProcess:
        return True


@cache
def _token(pid: int) -> str:
    """Random, one a process: processes that are forked from one inherit what it had drawn for itself."""
    return secrets.token_hex(8)


def _boot() -> str | None:
    """Identity of the machine since it was started, where the system tells it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _namespace() -> str | None:
    """Within what process numbers have a meaning, where the system tells it."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
