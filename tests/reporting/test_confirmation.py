from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib import image

from msplora_search.errors import InputError
from msplora_search.full.judgement import judge_found
from msplora_search.reporting.confirmation import confirmation_markdown, ranking_sentence, write_confirmation
from msplora_search.reporting.report import write_report
from msplora_search.search.summary import summarise
from tests.example import JUDGE, confirmation, evaluation, results

PLAIN = summarise(results())


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "confirm").mkdir()
    write_confirmation(confirmation(), tmp_path)
    return tmp_path


def test_a_confirmation_is_written_as_data_words_and_plot(output: Path) -> None:
    folder = output / "confirm"
    assert {p.name for p in folder.iterdir()} == {"confirm.json", "confirm.md", "confirm.png", "confirm.svg"}
    assert json.loads((folder / "confirm.json").read_text()) == confirmation().to_json()
    assert image.imread(folder / "confirm.png").shape[0] > 300
    text = (folder / "confirm.md").read_text()
    assert all(f"| {c.point.params:,} | {c.mean:.4f} |" in text for c in confirmation().points)


def test_a_report_shows_it_with_a_picture_that_is_there(output: Path) -> None:
    folder = write_report(PLAIN, output)
    page = (folder / "report.html").read_text()
    assert "Confirmed in full" in page
    assert all((folder / source).is_file() for source in re.findall(r'src="([^"]+)"', page))
    assert page.count("<table>") == 4


def test_the_front_of_full_training_stands_out() -> None:
    told = confirmation().to_json()
    table = confirmation_markdown(told, "confirm.svg")[1]
    assert re.findall(r"\*\*(.+?)\*\*", table) == told["front"]


def test_a_ranking_that_cannot_be_told_is_no_number() -> None:
    same = [(c.point, (evaluation(1.0, 60),)) for c in confirmation().points]
    assert "cannot be told" in ranking_sentence(judge_found(results(), same, JUDGE).to_json())


@pytest.mark.parametrize("text", ["", "[]", '{"front": []}', '{"metric": 3}', "[" * 9_000, "\ufffe"])
def test_a_damaged_confirmation_is_named_with_what_to_do(output: Path, text: str) -> None:
    (output / "confirm" / "confirm.json").write_text(text)
    with pytest.raises(InputError, match=r"confirm.json: is damaged \(.+\); delete it, and let") as caught:
        write_report(PLAIN, output)
    assert "\n" not in str(caught.value)
    assert not (output / "report").exists()
    write_confirmation(confirmation(), output)
    write_report(PLAIN, output)


def test_runs_without_a_mistake_are_not_said_to_be_certain(tmp_path: Path) -> None:
    perfect = [(c.point, (evaluation(1.0, 0),) * 2) for c in confirmation().points]
    (tmp_path / "confirm").mkdir()
    told = judge_found(results(), perfect, JUDGE)
    assert "0.9904 to 1.0000" in write_confirmation(told, tmp_path).read_text()
