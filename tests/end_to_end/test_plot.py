"""plot and table, as a user types them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.program import call
from tests.small import write_study


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search in `out`, and another's front.json."""
    folder = tmp_path_factory.mktemp("studied")
    os.environ[CACHE_VARIABLE] = str(folder / "cache")
    study = write_study(folder, search={"trials": 3, "sampler": "random"})
    done = call("run", study, "--output", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    golden = Path(__file__).parents[1] / "golden" / "front.json"
    shutil.copy(golden, folder / "shared.json")
    (folder / "letter.png").write_text("mine")
    return folder


@pytest.mark.slow
def test_studies_are_drawn_and_written_beside_each_other(studied: Path) -> None:
    for name, head in (("a.pdf", b"%PDF-"), ("a.svg", b"<?xml")):
        done = call("plot", "out", "shared.json", "--to", name, "--labels", "own,theirs", cwd=studied)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"wrote {name}\n"
        assert (studied / name).read_bytes().startswith(head)
    assert "<!-- theirs -->" in (studied / "a.svg").read_text()
    done = call("plot", "out", "--kind", "gain", "--to", "a.svg", "--width", "one-column", cwd=studied)
    assert done.returncode == 0, done.stderr
    done = call("table", "out", "shared.json", "--to", "t.tex", cwd=studied)
    assert done.returncode == 0, done.stderr
    assert r"\toprule" in (studied / "t.tex").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plot", "out", "--to", "a.jpg"), "--to a.jpg: ends in .jpg; it must end in .png, .svg or .pdf"),
        (("plot", "out", "--to", "letter.png"), "--to letter.png: is there and no picture of that kind"),
        (("plot", "none", "--to", "b.png"), "none: does not exist; give output folders of runs"),
        (("plot", "cache", "--to", "b.png"), "give the output folder of a finished run"),
        (("plot", "shared.json", "--kind", "curves", "--to", "b.png"), "is a front.json, which has none"),
        (("plot", "out", "--labels", "a,b", "--to", "b.png"), "it must be one name for each of the 1 studies"),
        (("table", "out", "--to", "b.xls"), "it must end in .csv, .md or .tex"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(studied: Path, words: tuple[str, ...], said: str) -> None:
    done = call(*words, cwd=studied)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (studied / "letter.png").read_text() == "mine"
    assert not (studied / "b.png").exists()
