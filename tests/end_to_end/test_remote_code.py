"""Code in a model's folder: on a terminal, with a user who would say yes to anything."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from msplora_search.design.pyramid import Pyramid
from tests.small import write_study

PROGRAM = Path(sys.executable).with_name("msplora-search")


def on_a_terminal(*words: object, cwd: Path) -> tuple[int, str]:
    """Exit code and all output of the program, with `y` typed ahead."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(PROGRAM), *map(str, words)], stdin=slave, stdout=slave, stderr=slave, cwd=cwd, close_fds=True
    )
    os.close(slave)
    os.write(master, b"y\n" * 5)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # how the other end's close shows
        pass
    os.close(master)
    return process.wait(timeout=120), shown.decode()


def with_own_code(folder: Path, mark: Path) -> None:
    """Configuration, model and tokenizer of the folder come with code that leaves a mark."""
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {
            "AutoConfig": "own.Own",
            "AutoModelForSequenceClassification": "own.Own",
            "AutoModel": "own.Own",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    own = json.loads((folder / "tokenizer_config.json").read_text())
    own |= {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))


@pytest.mark.parametrize("command", ["run", "validate", "train"])
def test_it_is_neither_run_nor_offered(tmp_path: Path, command: str) -> None:
    study, mark = write_study(tmp_path), tmp_path / "ran"
    with_own_code(tmp_path / "model", mark)
    recipe = {
        "name": "small", "model": str(tmp_path / "model"), "classes": ["bad", "good"],
        "task": {"kind": "text-classification", "dataset": str(tmp_path / "data.jsonl")},
        "pyramid": Pyramid.lora(1, 2, ("query",)).to_json(),
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    file = tmp_path / "recipe.yaml" if command == "train" else study
    code, shown = on_a_terminal(command, file, cwd=tmp_path)
    assert code == 2, shown
    told = " ".join(shown.split())
    assert "comes with code of its own, which is run only where the study says trust_remote_code: true" in told
    assert "[y/N]" not in shown
    assert not mark.exists()
    assert not (tmp_path / "runs").exists()
