from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from msplora_search.errors import InputError
from msplora_search.scale.crew import Lost, together

Tell = Callable[[Any], None]
ROOT = Path(__file__).parents[2]


def say_who(word: str, worker: int, tell: Tell) -> None:
    tell((word, worker, os.getpid(), torch.get_num_threads()))


def say_device(worker: int, tell: Tell) -> None:
    tell((worker, os.environ["CUDA_VISIBLE_DEVICES"]))


def second_dies(worker: int, tell: Tell) -> None:
    if worker == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)
    tell(worker)


def second_crashes(worker: int, tell: Tell) -> None:
    if worker == 1:
        raise SystemExit(7)
    tell(worker)


def second_is_killed_in_a_message(worker: int, tell: Tell) -> None:
    tell(worker)
    if worker == 1:
        pipe = tell.__self__  # type: ignore[attr-defined]
        os.write(pipe.fileno(), struct.pack("!i", 1000) + b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)
    tell(worker)


def second_says_what_is_no_message(worker: int, tell: Tell) -> None:
    tell(worker)
    if worker == 1:
        tell.__self__.send_bytes(b"no pickle")  # type: ignore[attr-defined]
        time.sleep(600)
    tell(worker)


def second_claims_too_much(worker: int, tell: Tell) -> None:
    tell(worker)
    if worker == 1:
        pipe = tell.__self__  # type: ignore[attr-defined]
        os.write(pipe.fileno(), struct.pack("!i", 2**31 - 1))
        time.sleep(600)
    tell(worker)


def second_finds_no_memory(worker: int, tell: Tell) -> None:
    tell(worker)
    if worker == 1:
        bytearray(2**62)
    tell(worker)


def second_refuses(worker: int, tell: Tell) -> None:
    tell(os.getpid())
    if worker == 1:
        raise InputError("the file a.yaml is not there")
    time.sleep(600)


def last_for_ever(worker: int, tell: Tell) -> None:
    print(os.getpid(), flush=True)
    time.sleep(600)


def test_every_worker_is_heard_and_has_its_share_of_the_threads() -> None:
    heard: list[tuple[str, int, int, int]] = []
    assert together(2, say_who, ("here",), heard.append) == []
    assert sorted(worker for _, worker, _, _ in heard) == [0, 1]
    assert len({pid for _, _, pid, _ in heard} | {os.getpid()}) == 3
    assert {(word, threads) for word, _, _, threads in heard} == {("here", max(1, torch.get_num_threads() // 2))}


def test_workers_take_the_devices_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    heard: list[tuple[int, str]] = []
    together(3, say_device, (), heard.append)
    assert sorted(heard) == [(0, "4"), (1, "7"), (2, "4")]


@pytest.mark.parametrize(
    ("work", "lost", "said"),
    [
        (second_dies, Lost(1, -9), "worker 1 ended by signal 9"),
        (second_crashes, Lost(1, 7), "worker 1 ended by exit code 7"),
    ],
)
def test_a_worker_that_dies_is_told_and_the_others_go_on(work: Any, lost: Lost, said: str) -> None:
    heard: list[int] = []
    assert together(2, work, (), heard.append) == [lost]
    assert str(lost) == said
    assert heard == [0]


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (second_is_killed_in_a_message, "worker 1 ended by signal 9"),
        (second_says_what_is_no_message, "worker 1 ended by signal 9"),
        (second_claims_too_much, "worker 1 ended by signal 9"),
        (second_finds_no_memory, "worker 1 ended by MemoryError: "),
    ],
)
def test_a_message_that_breaks_off_is_a_lost_worker(
    work: Any, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[int] = []
    lost = together(2, work, (), heard.append)
    assert [str(worker) for worker in lost] == [said]
    assert sorted(heard) == [0, 0, 1]
    assert capfd.readouterr().err == ""


def test_what_one_worker_refuses_ends_the_others() -> None:
    heard: list[int] = []
    with pytest.raises(InputError, match=r"the file a\.yaml is not there"):
        together(2, second_refuses, (), heard.append)
    assert not any(psutil.pid_exists(pid) for pid in heard)


def test_workers_do_not_outlive_who_started_them() -> None:
    code = (
        "from msplora_search.scale.crew import together\nfrom tests.scale.test_crew import last_for_ever\n"
        "together(2, last_for_ever, (), print)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    waited = time.monotonic()
    while any(psutil.pid_exists(pid) for pid in workers):
        assert time.monotonic() < waited + 60, "workers outlive a killed parent"
        time.sleep(0.1)
