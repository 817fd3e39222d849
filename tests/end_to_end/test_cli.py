from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from msplora_search.results.records import State
from msplora_search.search.results import load_results
from msplora_search.tasks.cache import CACHE_VARIABLE
from msplora_search.tasks.demo import demo_model
from tests.program import PROGRAM, call
from tests.small import save_model, sentences, study_fields, tokenizer, write_jsonl, write_study


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of `folder` but the cache."""
    files = (p for p in folder.rglob("*") if p.is_file() and "cache" not in p.parts)
    return {str(p): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a finished search in `out`, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    os.environ[CACHE_VARIABLE] = str(folder / "cache")
    study = write_study(folder, search={"trials": 8, "sampler": "random"}, pruning={"chance": 1.0})
    done = call("run", study, "--output", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, done.stdout


def test_a_search_prints_its_front_how_it_compares_and_what_to_type_next(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert "space: " in printed
    assert "[10/10] trial " in printed
    assert "Front of small" in printed
    assert "Against the paper's setting" in printed
    assert "Against the best plain LoRA, rank 1" in printed
    assert "that the same trials cost without pruning" in printed
    assert "Report: out/report/report.md" in printed
    assert "Next:   msplora-search export out --pick one-se --to out/recipe" in printed
    assert {p.name for p in (folder / "out").iterdir()} >= {"study.yaml", "study.db", "report"}
    assert yaml.safe_load((folder / "out" / "study.yaml").read_text())["search"]["trials"] == 8


def test_what_it_says_to_type_next_works(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    words = printed.split("Next:   msplora-search ")[1].split()
    done = call(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "wrote out/recipe/recipe.yaml" in done.stdout
    assert yaml.safe_load((folder / "out" / "recipe" / "recipe.yaml").read_text())["model"] == str(
        folder / "model"
    )


def test_a_report_is_rebuilt_from_the_storage_alone(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    before = json.loads((folder / "out" / "report" / "front.json").read_text())
    (tmp_path / "study.db").write_bytes((folder / "out" / "study.db").read_bytes())
    done = call("report", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report" / "front.json").read_text()) == before


def test_status_and_its_json(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    done = call("status", folder / "out")
    assert "small: 10 of 10 trials ended" in done.stdout
    told = json.loads(call("status", folder / "out", "--json").stdout)
    assert told["running"] == []
    assert sum(told["counts"][state] for state in ("complete", "pruned", "failed")) == 10


def test_export_tells_a_program_what_it_chose(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    done = call("export", folder / "out", "--pick", "best", "--to", tmp_path / "r", "--json")
    told = json.loads(done.stdout)
    front = json.loads((folder / "out" / "report" / "front.json").read_text())["front"]
    assert told["trial"] == front[-1]["trial"]
    assert told["pyramid"] == front[-1]["pyramid"]


def test_the_same_command_again_changes_no_result(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = (folder / "out" / "report" / "trials.csv").read_text()
    done = call("run", folder / "study.yaml", "--output", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "resuming: 10 trials in the record" in done.stdout
    assert (folder / "out" / "report" / "trials.csv").read_text() == before


@pytest.mark.parametrize(
    ("model", "words", "counts"),
    [
        ("roberta", [], (135_168, "8", 294_912)),
        ("llama", ["--ranks", "64/32/16", "--targets", "q_proj,v_proj"], (11_010_048, "64", 33_554_432)),
        ("llama", ["--ranks", "64/32/16"], (11_010_048, "64", 33_554_432)),
        ("vit", [], (135_168, "8", 294_912)),
    ],
)
def test_params_gives_the_counts_of_the_paper(model: str, words: list[str], counts: tuple[int, str, int]) -> None:
    told = json.loads(call("params", model, *words, "--json").stdout)
    assert (told["adapter_params"], told["lora"][counts[1]]) == (counts[0], counts[2])
    plain = call("params", model, *words).stdout
    assert f"{counts[0]:,} adapter parameters" in plain
    assert f"LoRA r={counts[1]}: {counts[2]:,}" in plain


def test_params_reads_a_config_without_weights(tmp_path: Path) -> None:
    save_model(tmp_path / "model", layers=6)
    (tmp_path / "model" / "model.safetensors").unlink()
    for path in (tmp_path / "model", tmp_path / "model" / "config.json"):
        done = call("params", path, "--ranks", "2/1/1", "--groups", "50/50")
        assert f"{2 * 64 * (2 + 2 + 6):,} adapter parameters" in done.stdout, done.stderr


def test_validate_says_of_every_file_what_it_is(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    space = tmp_path / "space.yaml"
    space.write_text("global_rank: [1]\n")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("global_rank: [-1]\n")
    done = call("validate", study, space, wrong)
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        f"{study}: a valid study", f"{space}: a valid space",
    ]  # fmt: skip
    assert any("2 layers in bert.encoder.layer, targets query, value" in line for line in lines)
    assert done.stderr.startswith(f"error: {wrong}:1: global_rank.0 is -1")
    assert done.stderr.count("\n") == 1


def test_validate_looks_at_what_a_study_names_unless_told_not_to(tmp_path: Path) -> None:
    study = write_study(tmp_path, model="/nowhere", training={"trainer": {"bf61": True}})
    before = snapshot(tmp_path)
    done = call("validate", study)
    assert done.returncode == 2
    assert done.stdout == ""
    trainer, model = done.stderr.splitlines()
    assert re.match(rf"error: {study}:\d+: training.trainer.bf61 is no field", trainer)
    assert re.match(rf"error: {study}:\d+: model: /nowhere is no folder with a config.json", model)
    assert call("validate", study, "--no-files").stdout == f"{study}: a valid study\n"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nmae: x\nmodle: y\ntsk: {}\n", "nmae is no known field; did you mean 'name'?"),
        ("global_rnak: [1]\nmid_rnk: [1]\n", "global_rnak is no known field; did you mean 'global_rank'?"),
    ],
)
def test_a_file_of_misspelt_keys_alone_is_told_apart(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    done = call("validate", tmp_path / "file.yaml")
    assert done.returncode == 2
    assert said in done.stderr


def test_a_search_in_which_no_trial_completes_says_why_and_fails(tmp_path: Path) -> None:
    study = write_study(tmp_path, search={"trials": 3, "max_params": 1, "baselines": [], "sampler": "random"})
    done = call("run", study, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.fullmatch(
        r"error: No trial was measured to the end: \d+ of \d+ trials refused: .* max_params is 1\n", done.stderr
    )
    assert "export" not in done.stdout


def test_a_search_whose_trials_fail_one_after_the_other_ends_in_one_line(tmp_path: Path) -> None:
    study = write_study(tmp_path, proxy={"epochs": 1000}, scale={"trial_time": "1s"})
    done = call("run", study, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.fullmatch(
        r"error: trials 0, 1, 2 failed one after the other, the last by OutOfTimeError: over scale.trial_time, "
        r"1s, at step \d+ of 16000; that is hardly the fault of their configurations, .* same command goes on\n",
        done.stderr,
    )
    assert len(load_results(tmp_path / "out").in_state(State.FAILED)) == 3


@pytest.mark.parametrize(
    "command", ["run", "status", "report", "export", "train", "confirm", "params", "validate", "analyze"]
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert f"msplora-search {command} " in done.stdout.replace("\n", " ")


def test_help_does_not_load_what_takes_seconds() -> None:
    probe = (
        "import sys\nsys.argv = ['msplora-search', '--help']\nfrom msplora_search.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'optuna', 'datasets', 'matplotlib', 'pydantic', 'numpy')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def one_class(folder: Path) -> None:
    write_jsonl(folder / "data.jsonl", [{"text": "good", "label": "x"}] * 40)


def empty(folder: Path) -> None:
    (folder / "data.jsonl").write_text("")


def fractions(folder: Path) -> None:
    rows = sentences(40)
    rows[3]["label"] = 0.5
    write_jsonl(folder / "data.jsonl", rows)


def no_weights(folder: Path) -> None:
    (folder / "model" / "model.safetensors").unlink()


def no_config(folder: Path) -> None:
    (folder / "model" / "config.json").unlink()


def not_a_number(folder: Path) -> None:
    file = folder / "model" / "model.safetensors"
    weights = load_file(file)
    weights["bert.encoder.layer.1.output.dense.weight"][3, 5] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})


def too_many_tokens(folder: Path) -> None:
    larger = tokenizer()
    larger.add_tokens(["another"])
    larger.save_pretrained(folder / "model")


def tampered(folder: Path) -> None:
    downloads = folder / "cache" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "vaderSentiment-3.3.2.tar.gz").write_bytes(b"tampered")


def occupied(folder: Path) -> None:
    (folder / "out").write_text("a file")


def nothing(_: Path) -> None:
    pass


BAD: list[tuple[str, Callable[[Path], None], dict[str, Any], list[str], list[str]]] = [
    ("misspelt key", nothing, {"serach": {}}, [], ["study.yaml:", "serach is no known field", "'search'"]),
    ("wrong type", nothing, {"search": {"trials": "many"}}, [], ["search.trials is 'many'", "whole number"]),
    ("missing column", nothing, {"task": {"text": ["sentence"]}}, [], ["task.text is 'sentence'", "text"]),
    ("missing label", nothing, {"task": {"label": "lable"}}, [], ["task.label is 'lable'", "'label'"]),
    ("wrong labels", fractions, {}, [], ["row 4 of label column 'label' is 0.5", "whole number"]),
    ("empty data", empty, {}, [], ["data.jsonl", "is empty", "must have rows"]),
    ("one class", one_class, {}, [], ["only the class 'x'", "needs 2"]),
    (
        "negative rank",
        nothing,
        {"space": {"mid_rank": [-1]}},
        [],
        ["space.mid_rank.0 is -1", "greater than or equal"],
    ),
    ("empty group", nothing, {"space": {"groups": {"boundaries": [[50, 0, 50]]}}}, [], ["boundaries", "is 0"]),
    ("too many groups", nothing, {"space": {"groups": {"count": [5]}}}, [], ["5 groups", "stack of 2 layers"]),
    (
        "split too fine",
        nothing,
        {"space": {"groups": {"boundaries": [[1, 1, 1]]}}},
        [],
        ["3 depth groups", "2 layers"],
    ),
    ("no such target", nothing, {"space": {"targets": [["q_proj"]]}}, [], ["'q_proj' matches no", "query"]),
    ("no weights", no_weights, {}, [], ["has no weights", "safetensors"]),
    ("no model", no_config, {}, [], ["no folder with a config.json", "model"]),
    ("no such model", nothing, {"model": "/nowhere"}, [], ["/nowhere", "config.json"]),
    ("no such file", nothing, {"task": {"dataset": "gone.csv"}}, [], ["gone.csv is no file"]),
    ("no such demo", nothing, {"model": "demo:minilmm"}, [], ["demo:minilmm", "'minilm'"]),
    ("another hash", tampered, {"task": {"dataset": "demo:movie-reviews"}}, [], ["sha256", "delete it"]),
    ("output is a file", occupied, {}, [], ["--output", "name a folder that can be written"]),
    ("output in the void", nothing, {}, ["--output", "/proc/none/out"], ["--output /proc/none/out", "written"]),
    (
        "dead storage",
        nothing,
        {},
        ["--storage", "postgresql://a:b@localhost:1/x"],
        ["--storage", "does not answer"],
    ),
    ("odd override", nothing, {}, ["--set", "search.trials"], ["--set search.trials", "field=value"]),
    ("no such space", nothing, {"space": "tini"}, [], ["study.yaml:", "space 'tini'", "'tiny'"]),
    ("no such argument", nothing, {"training": {"trainer": {"bf61": True}}}, [], ["bf61 is no field", "'bf16'"]),
    ("odd batches", nothing, {"training": {"batch_size": 3, "trainer": {"gradient_accumulation_steps": 2}}}, [],
     ["training.batch_size is 3", "a multiple of the 2 batches"]),
    ("not a number", not_a_number, {}, [], ["cannot be trained in fp32", "the loss of the first step is nan"]),
    ("too many tokens", too_many_tokens, {}, [], ["has 23 tokens, but its embedding 22 rows"]),
    ("too few steps", nothing, {"proxy": {"epochs": 0.06}}, [], ["proxy.rungs", "no room for 2 rungs"]),
]  # fmt: skip
OF_NO_FIELD = ("another hash", "output is a file", "output in the void", "dead storage", "odd override")
"""What no line of a study file asks for."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "spoil", "changes", "words", "said"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_is_one_line_and_changes_nothing(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], changes: dict[str, Any], words: list[str],
    said: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    study = write_study(tmp_path, **changes)
    spoil(tmp_path)
    before = snapshot(tmp_path)
    output = [] if "--output" in words else ["--output", tmp_path / "out"]
    done = call("run", study, *output, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for text in said:
        assert text in done.stderr
    assert bool(re.match(rf"error: {study}:\d+: ", done.stderr)) == (name not in OF_NO_FIELD), done.stderr
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "out").is_dir()


@pytest.mark.parametrize("command", ["status", "report"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, command: str) -> None:
    done = call(command, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}: holds no study.db")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, but long enough to be read as one " * 40)
    done = call("status", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "file is not a database" in done.stderr


def start(study: Path, folder: Path) -> subprocess.Popen[str]:
    """A search that can be stopped by Ctrl-C, also where what started this process ignores that."""
    return subprocess.Popen(
        [str(PROGRAM), "run", str(study), "--output", "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ.copy(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
    )  # fmt: skip


@pytest.mark.slow
def test_a_stop_by_the_user_is_told_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    wide = {"global_rank": list(range(1, 60)), "mid_rank": [0], "layer_rank": [0], "learning_rate": [1e-2, 2e-2]}
    study = write_study(
        tmp_path, space=wide, search={"trials": 500, "sampler": "random"}, pruning={"rule": "none"}
    )
    process = start(study, tmp_path)
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("[1/"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "stopped; the same command goes on from here\n"
    done = call("run", study, "--output", "out", "--set", "search.trials=4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resuming: " in done.stdout
    assert "search ended: 4 proposals trained" in done.stdout


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the size of files stands for the disk: the database cannot grow beyond it."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    wide = {"global_rank": list(range(1, 60)), "mid_rank": [0], "layer_rank": [0]}
    study = write_study(tmp_path, space=wide, search={"trials": 25, "sampler": "random"}, pruning={"rule": "none"})
    call("run", study, "--output", "out", "--set", "search.trials=0", cwd=tmp_path)
    size = (tmp_path / "out" / "study.db").stat().st_size

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 16_384, size + 16_384))

    full = call("run", study, "--output", "out", cwd=tmp_path, limit=limit)
    assert full.returncode == 2, full.stdout + full.stderr
    assert full.stderr.startswith("error: storage sqlite:")
    assert full.stderr.count("\n") == 1, full.stderr
    kept = json.loads(call("status", tmp_path / "out", "--json").stdout)["counts"]
    again = call("run", study, "--output", "out", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    counts = json.loads(call("status", tmp_path / "out", "--json").stdout)["counts"]
    assert counts["failed"] == 0
    assert counts["complete"] >= kept["complete"] >= 2
    assert counts["complete"] + counts["pruned"] == 27


def test_study_fields_of_the_tests_are_a_valid_study(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study_fields(tmp_path)))
    assert call("validate", tmp_path / "study.yaml").returncode == 0


@pytest.mark.slow
def test_a_real_search_with_real_weights_on_real_sentences(tmp_path: Path) -> None:
    """The quickstart, cut short: what it says and writes, not how well it does."""
    demo_model("minilm")  # the first use of a model is told on stderr
    short = ["search.trials=2", "proxy.train_examples=256", "proxy.validation_examples=256", "proxy.epochs=1"]
    sets = [word for field in [*short, "proxy.rungs=[0.5, 1.0]"] for word in ("--set", field)]
    done = call("run", "quickstart", *sets, "--output", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    trials = "5 baseline trials, 2 trained proposals and up to 4 repeats with other seeds"
    assert f"space: 716 configurations for 6 layers; {trials}" in done.stdout
    front = json.loads((tmp_path / "out" / "report" / "front.json").read_text())
    assert front["baselines"]["paper"]["adapter_params"] == 49_152
    assert "pyramid 8/4/2 in 0:2 2:4 4:6: 49,152 adapter parameters" in call("params", "demo:minilm").stdout
    assert [p["adapter_params"] for p in front["baselines"]["lora"]] == [9_216, 18_432, 36_864, 73_728]
    assert front["counts"]["complete"] + front["counts"]["pruned"] + front["counts"]["duplicate"] >= 11
