"""SIGINT and SIGTERM: a training step that is at work comes to its end first, so that it can be kept."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 4.0
"""Seconds that a step may take to its end, once it was asked to stop."""
SOON = 0.01
"""Seconds after which a signal that was lost is raised again."""
ANEW, GOES_ON = "the same command begins anew", "the same command goes on from here"


class _Stopping:
    last: int = 0
    """The last signal that came."""
    within: bool = False
    """Whether something is at work that should come to its end."""
    wanted: bool = False
    told: str = ANEW


def listen_for_signals() -> None:
    """Let both signals raise KeyboardInterrupt: at once, or when what is within `finishing` has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _told)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _told)
        sys.unraisablehook = _unraisable


def last_signal() -> int:
    """The signal that came last; 0 for none."""
    return _Stopping.last


def say_when_stopped(what: str) -> None:
    """What is true from now on where this program is stopped."""
    _Stopping.told = what


def said_when_stopped() -> str:
    """What became of the work; by default, that it has to be done again."""
    return _Stopping.told


@contextmanager
def finishing() -> Iterator[None]:
    """Come to the end of this before a signal stops the program; a second signal, or `PATIENCE`, does not wait.

    Within another one it is a part of that.
    """
    outer, _Stopping.within = _Stopping.within, True
    try:
        yield
    finally:
        _Stopping.within = outer
    if _Stopping.wanted and not outer:
        _Stopping.wanted = False
        _alarm(0)
        raise KeyboardInterrupt


def _told(number: int, _: FrameType | None) -> None:
    if number in (signal.SIGINT, signal.SIGTERM):
        _Stopping.last = number
    if _Stopping.within and not _Stopping.wanted:
        _Stopping.wanted = True
        _alarm(PATIENCE)
        return
    _Stopping.wanted = False
    raise KeyboardInterrupt


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Raise again what came while a finaliser or the callback of a weak reference ran: Python drops it there."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        _alarm(SOON)
    else:
        sys.__unraisablehook__(lost)


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
