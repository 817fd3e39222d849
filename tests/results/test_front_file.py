"""A damaged or hostile front.json is refused at once, in one line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from msplora_search.errors import InputError
from msplora_search.results.front_file import load_front

GOLDEN = Path(__file__).parents[1] / "golden" / "front.json"
POINT: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))["front"][0]
DEEP = {**POINT["pyramid"], "groups": [{"start": 0, "stop": 10**6, "mid_rank": 0, "layer_rank": 1}]}


def refusal(path: Path) -> str:
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        load_front(path)
    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pyramid": DEEP}, "depth group stop is 1000000; it must be 0 or more, and at most 1,024"),
        (
            {"pyramid": {**POINT["pyramid"], "global_rank": 10**9}},
            "global_rank is 1000000000; it must be 0 or more",
        ),
        ({"pyramid": 3}, "pyramid is 3; it must have the fields"),
        ({"trial": True}, "trial is True; it must be a whole number"),
        ({"trial": -1}, "trial is -1; it must be a whole number"),
        ({"adapter_params": 1.5}, "adapter_params is 1.5; it must be a whole number"),
        ({"metric": "0.8"}, "metric is '0.8'; it must be a number"),
        ({"learning_rate": None}, "learning_rate is None; it must be a number"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be above 0 and below 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be above 0 and below 1"),
        ({"baseline": ["\x1b[31m"]}, r"baseline is ['\x1b[31m']; it must be a name or null"),
        ({"later": 1}, "it must have the fields"),
    ],
)
def test_a_wrong_point_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "front.json"
    path.write_text(json.dumps({"front": [{**POINT, **change}]}))
    assert said in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"3", b'{"front": {}}', b'{"front": ["x"]}', b"\xff\xfe{}", b"[" * 200_000,
        b'{"front": [' + b"1" * 5_000 + b"]}", b'{"front": [{"\\u001b[31m": 1}]}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "front.json"
    path.write_bytes(content)
    assert "is no front.json of this program: " in refusal(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "front.json")
    assert "give the output folder of a finished run" in refusal(tmp_path / "front.json")
