"""`params` on what others made: no code of theirs runs, and what cannot be counted is one line, at once."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from msplora_search.adapters.census import MOST_MODULES, anatomy_of, count_beside_lora
from msplora_search.adapters.foreign import hub_cache_fault
from msplora_search.adapters.hub import MOST_BYTES, load_config
from msplora_search.errors import InputError
from msplora_search.settings import StudySettings
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.processors import load_image_processor, load_tokenizer
from tests.small import save_model, tokenizer

SMALL = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64,
}  # fmt: skip


def write(folder: Path, **fields: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps({**SMALL, **fields}))
    return str(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hidden_size": 10**12}, "has 'hidden_size' 1000000000000; it must be at most"),
        ({"hidden_size": 10**10}, "cannot be built from its config.json: Storage size calculation overflowed"),
        ({"hidden_size": -32}, "cannot be built from its config.json: .*negative dimension -32"),
        ({"hidden_size": "32"}, "no usable config.json: .*'hidden_size' expected int, got str"),
        ({"hidden_size": 0}, "cannot be built from its config.json"),
        ({"num_attention_heads": 0}, "cannot be built from its config.json"),
        ({"num_hidden_layers": 10**9}, "has 'num_hidden_layers' 1000000000; it must be at most 1,024"),
        ({"text_config": {"n_layers": [1, 5000]}}, "has 'n_layers' 5000; it must be at most 1,024"),
        ({"num_hidden_layers": -1}, "target 'query' matches no linear module; there are: none"),
        ({"num_labels": 10**9}, "has 'num_labels' 1000000000; it must be at most 1,000,000"),
        ({"vocab_size": -(10**12)}, "has 'vocab_size' -1000000000000; it must be"),
        ({"model_type": "nothing"}, "no usable config.json: .*model type `nothing`"),
        ({"model_type": 5}, "no usable config.json"),
        ({"id2label": [1]}, "no usable config.json"),
        ({"auto_map": 5}, "no usable config.json"),
        ({"dtype": "nothing"}, "no usable config.json"),
        ({"hidden_act": "nothing"}, "cannot be built from its config.json: 'nothing'"),
    ],
)
def test_a_config_that_cannot_be_built_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        anatomy_of(write(tmp_path, **fields), ["query", "value"])
    assert str(caught.value).isprintable()
    assert str(tmp_path / "config.json") in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "5", "{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"model_type": "bert", "hidden_size": NaN}'],
)
def test_a_file_that_is_no_config_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    for model in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(InputError, match=f"^model {model}: no usable config.json: ") as caught:
            load_config(str(model))
        assert len(str(caught.value)) < 600


def test_a_config_that_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    for model in (tmp_path, tmp_path / "config.json", Path("/dev/zero")):
        with pytest.raises(InputError, match=r"its config\.json must be a file of at most"):
            load_config(str(model))
    (tmp_path / "config.json").unlink()
    write(tmp_path, text="x" * MOST_BYTES)
    with pytest.raises(InputError, match=r"its config\.json must be a file of at most"):
        load_config(str(tmp_path))


def test_a_model_of_too_many_modules_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msplora_search.adapters.census.MOST_MODULES", 40)
    with pytest.raises(InputError, match="asks for more than 40 modules"):
        anatomy_of(write(tmp_path, num_hidden_layers=4), ["query"])
    monkeypatch.setattr("msplora_search.adapters.census.MOST_MODULES", MOST_MODULES)
    assert anatomy_of(write(tmp_path, num_hidden_layers=4), ["query"]).layers == 4


@pytest.mark.parametrize("asked", ["kernels-community/flash-attn", "flash_attention_2"])
def test_attention_out_of_a_package_or_a_repository_is_not_fetched(tmp_path: Path, asked: str) -> None:
    assert anatomy_of(write(tmp_path, attn_implementation=asked), ["query"]).layers == 2


@pytest.mark.parametrize("model", ["", "~nobody-here/model", "a" * 5000, "no/such/thing/at/all", "\x1b[31mred"])
def test_a_name_that_is_no_model_is_one_line(model: str) -> None:
    with pytest.raises(InputError, match=r"^model .*: ") as caught:
        load_config(model)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(
            ("ranks", r)
            for r in ("", "8", "8/4", "8/4/2/1", "8/4/x", "-1/4/2", "1.5/4/2", "1e3/4/2", "1000000000/4/2")
        ),
        *(
            ("ranks", r)
            for r in ("9" * 5000 + "/4/2", "\N{FULLWIDTH DIGIT ONE}/4/2", "1_0/4/2", " 8/4/2", "nan/4/2", "0/0/0")
        ),
        *(
            ("groups", g)
            for g in ("", "/", "0/1", "-1/2", "nan/1", "inf/1", "1e400/1", "1e308/1e308", "x", "1//2")
        ),
        *(("groups", g) for g in ("9" * 5000, "/".join(["1"] * 5000), "1/1/1", "1_0/1", "0.0000000001/1")),
        *(
            ("targets", t)
            for t in ("", " ", "query,", ",query", "nothing", "x" * 5000, "\x1b[31m", "decoder:query")
        ),
    ],
)
def test_an_option_that_is_wrong_is_one_line(tmp_path: Path, option: str, value: str) -> None:
    options = {"ranks": "8/4/2", "groups": "50/50", "targets": "query,value", option: value}
    with pytest.raises(InputError, match=f"--{option}|targets .* on ") as caught:
        count_beside_lora(write(tmp_path), options["ranks"], options["groups"], options["targets"].split(","))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def with_own_code(folder: Path) -> Path:
    """A model folder whose code, were it run, would leave a file behind."""
    save_model(folder)
    code = f"open({str(folder / 'was-run')!r}, 'w').close()\nfrom transformers import BertConfig as OwnConfig\n"
    (folder / "own.py").write_text(
        code + "from transformers import BertModel as OwnModel, BertTokenizer as OwnTokenizer\n"
    )
    maps = {
        "AutoConfig": "own.OwnConfig",
        "AutoModel": "own.OwnModel",
        "AutoTokenizer": [None, "own.OwnTokenizer"],
    }
    maps["AutoModelForSequenceClassification"] = "own.OwnModel"
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        path = folder / name
        known = json.loads(path.read_text()) if path.is_file() else {}
        known = {**known, "model_type": "own", "auto_map": {**maps, "AutoImageProcessor": "own.OwnConfig"}}
        path.write_text(json.dumps({**known, "tokenizer_class": "OwnTokenizer"}))
    return folder


def run_saying_yes(command: list[str], **env: str) -> tuple[int, str]:
    """Run a command on a terminal on which `y` was typed beforehand; its exit code and what it said."""
    leader, follower = pty.openpty()
    try:
        os.write(leader, b"y\ny\ny\n")
        done = subprocess.run(
            command, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
            env={**os.environ, **env}, check=False,
        )  # fmt: skip
    finally:
        os.close(leader)
        os.close(follower)
    return done.returncode, done.stdout


def test_params_runs_no_code_of_a_model_whatever_is_typed(tmp_path: Path) -> None:
    model = with_own_code(tmp_path / "model")
    program = "from msplora_search.cli import main; main()"
    code, said = run_saying_yes([sys.executable, "-c", program, "params", str(model)])
    assert code == 2
    assert said == (
        f"error: model {model}: has code of its own (auto_map in its config.json), which is not run here; "
        "give a config.json of an architecture that transformers knows, or a bare architecture such as roberta\n"
    )
    assert not (model / "was-run").exists()


def test_no_part_of_a_model_runs_its_code_unless_the_study_says_so(tmp_path: Path) -> None:
    model = with_own_code(tmp_path / "model")
    task = {"kind": "text-classification", "dataset": "none.jsonl"}
    settings = StudySettings.model_validate({"name": "x", "model": str(model), "task": task})
    for load in (
        lambda: load_tokenizer(str(model)),
        lambda: load_image_processor(str(model)),
        lambda: load_backbone(settings, tokenizer(), ("a", "b")),
        lambda: anatomy_of(str(model), ["query"]),
    ):
        with pytest.raises(InputError):
            load()
    assert not (model / "was-run").exists()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a configuration takes."""

    def do_HEAD(self) -> None:
        body = json.dumps(SMALL).encode()
        known = self.path.endswith("/config.json")
        self.send_response(200 if known else 404)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(body) if known else 0))
        self.end_headers()
        if known and self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD  # noqa: N815 # the names that http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_cache_of_the_hub_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    program = (
        "from msplora_search.adapters.hub import InputError, load_config\n"
        "try: print(load_config('some/model').hidden_size)\nexcept InputError as error: print(error)"
    )
    told = {}
    with hub() as address:
        for name in ("home", "file"):
            env = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / name), "HF_HUB_OFFLINE": "0"}
            done = subprocess.run(
                [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
            )
            told[name] = done.stdout + done.stderr
    assert told["home"] == "32\n"
    assert re.fullmatch(
        f"model some/model: the hub's cache {tmp_path}/file cannot be used: .*; "
        "set HF_HOME to a folder that can be written and has room\n",
        told["file"],
    )


def test_only_errors_about_the_hubs_cache_are_blamed_on_it(tmp_path: Path) -> None:
    inside = Path(constants.HF_HUB_CACHE) / "models--a--b" / "blobs" / "x"
    wrapped = OSError("PermissionError at ...")
    wrapped.__cause__ = PermissionError(errno.EACCES, "Permission denied", str(inside))
    assert "cannot be used: Permission denied; set HF_HOME" in str(hub_cache_fault(wrapped))
    assert hub_cache_fault(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "data.csv"))) is None
    assert hub_cache_fault(OSError("no such model")) is None
    assert hub_cache_fault(ValueError("x")) is None
