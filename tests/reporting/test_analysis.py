from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib import image

from msplora_search import cli, save_pyramid, to_peft
from msplora_search.analysis.report import analyse
from msplora_search.analysis.transfer import transfer
from msplora_search.analysis.updates import Trained
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import DamagedError, InputError
from msplora_search.reporting.analysis_files import lines_of, write_analysis
from msplora_search.search.summary import summarise
from tests.adapters.models import bert, trained
from tests.analysis.made import grouped, pyramid, with_layers
from tests.example import decided


def run(*words: object) -> None:
    """The command in this process, without what `main` does to signals."""
    cli.app([*map(str, words)], standalone_mode=False)


def parsed(text: str) -> Any:
    return json.loads(text)


def test_the_command_answers_in_ten_lines_and_leaves_page_figures_and_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained(bert(8), Pyramid.geometric(8, 8))
    save_pyramid(model, tmp_path / "small" / "model" / "pyramid", "base")
    run("analyze", tmp_path / "small")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 11
    assert said[0].startswith("small: pyramid on 8 layers, 2 targets, depth groups 0:3 3:5 5:8")
    folder = tmp_path / "small" / "analysis"
    assert {path.name for path in folder.iterdir()} == {
        "analysis.md", "analysis.json", "spectra.png", "spectra.svg", "similarity.png", "similarity.svg",
    }  # fmt: skip
    told = parsed((folder / "analysis.json").read_text())
    assert [level["level"] for level in told["adapters"][0]["spectra"]["levels"]] == ["global", "mid", "layer"]
    assert image.imread(folder / "spectra.png").shape[1] > 1000
    text = (folder / "analysis.md").read_text()
    assert "](similarity.svg)" in text
    assert "### Signs that the shape does not fit" in text


def record(*steps: int) -> str:
    """What a training of 100 steps leaves, in which the mid and the layer level are against each other."""
    cosines = {"global mid": [0.4, 0.2], "global layer": [0.0, None], "mid layer": [-0.2, -0.1]}
    return "".join(json.dumps({"step": step, "steps": 100, "cosines": cosines}) + "\n" for step in steps)


def test_what_was_recorded_of_the_levels_is_told_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pyramid(trained(bert(8), Pyramid.geometric(8, 8)), tmp_path / "small" / "model" / "pyramid", "base")
    (tmp_path / "small" / "interference.jsonl").write_text(record(1, 51, 100) + '{"step": 10')
    run("analyze", tmp_path / "small" / "model", "--to", tmp_path / "to")
    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith(
        "Levels in training, at 3 steps of 100: global and mid pull the same way (mean cosine +0.30, at first "
        "+0.30, at last +0.30; against each other in 0% of layers and steps); global and layer hardly touch"
    )
    assert "mid and layer pull against each other (mean cosine -0.15, " in said
    assert "against each other in 100% of layers and steps)" in said
    (adapter,) = parsed((tmp_path / "to" / "analysis.json").read_text())["adapters"]
    assert adapter["interference"]["steps"] == [1, 51, 100]
    assert adapter["interference"]["pairs"][1]["by_layer"] == [0.0, None]
    text = (tmp_path / "to" / "analysis.md").read_text()
    assert "](interference.svg)" in text
    assert "| mid and layer | -0.150 | -0.150 | -0.150 | 100% |" in text
    assert image.imread(tmp_path / "to" / "interference.png").shape[1] > 1000
    run("analyze", tmp_path / "small", "--to", tmp_path / "to")  # its own files are no foreign ones


@pytest.mark.parametrize(
    "content",
    ["[]\n", "x\n", record(5, 3), record(1).replace("0.4", "4.0"), record(1).replace("steps", "stops"),
     record(1) + record(2).replace("[-0.2, -0.1]", "[-0.2]"), '{"step": 1, "steps": 3, "cosines": [1]}\n'],
)  # fmt: skip
def test_a_record_that_is_none_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    save_pyramid(trained(bert(4), Pyramid.geometric(8, 4)), tmp_path / "small" / "model" / "pyramid", "base")
    (tmp_path / "small" / "interference.jsonl").write_text(content)
    with pytest.raises(DamagedError, match=r"interference\.jsonl: is damaged \(.+\); delete it, and analyze goes"):
        run("analyze", tmp_path / "small")
    assert not (tmp_path / "small" / "analysis").exists()


def test_several_adapters_go_on_one_page_and_json_is_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        to_peft(trained(bert(4), Pyramid.lora(2, 4, ("query", "value")))).save(tmp_path / name, None)
    words = ["analyze", tmp_path / "one", tmp_path / "two", "--to", tmp_path / "to", "--json"]
    run(*words)
    told = parsed(capsys.readouterr().out)
    assert [adapter["adapter"] for adapter in told["adapters"]] == ["one", "two"]
    assert told["transfer"] is None
    assert (tmp_path / "to" / "spectra-2.svg").is_file()
    run(*words)  # its own files are no foreign ones


def test_a_folder_with_something_else_in_it_stays_as_it_is(tmp_path: Path) -> None:
    to_peft(trained(bert(4), Pyramid.lora(2, 4, ("query", "value")))).save(tmp_path / "one", None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds 'thesis\.tex', which is not of analyze; name an empty folder"):
        run("analyze", tmp_path / "one", "--to", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is not there"):
        run("analyze", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_structure_and_its_want_are_told_plainly() -> None:
    lora = pyramid((0, 0, 2))
    said = "\n".join(lines_of([analyse(lora)], None))
    assert "no more alike than by chance" in said
    assert "no structure along the depth beyond chance" in said
    said = "\n".join(lines_of([analyse(with_layers(lora, grouped((0, 5, 12), 1.5)))], None))
    assert "more alike than by chance" in said
    assert "2 groups, layers 0-4, 5-11" in said


def test_foreign_names_do_nothing_on_the_page(tmp_path: Path) -> None:
    made = pyramid()
    hostile = "[x](http://evil) <script>\x1b[31m" + "n" * 300
    name = Trained(hostile, made.kind, made.layers, made.levels, made.groups)
    write_analysis([analyse(name)], None, tmp_path / "a")
    text = (tmp_path / "a" / "analysis.md").read_text()
    assert "<script>" not in text.replace("\\<script", "")
    assert "](http:" not in text
    assert "\x1b" not in text + "\n".join(lines_of([analyse(name)], None))


def test_two_studies_get_a_page_of_their_own(tmp_path: Path) -> None:
    study = summarise(decided(lambda made: 90 - 3.0 * made.global_rank))
    found = transfer(study, study)
    write_analysis([], found, tmp_path / "a")
    assert (tmp_path / "a" / "transfer.png").is_file()
    assert "They agree on what is good" in "\n".join(lines_of([], found))
