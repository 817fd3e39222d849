from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msplora_search import run_study
from msplora_search.errors import InputError
from msplora_search.search.results import load_results
from msplora_search.search.store.facts import DEFAULTS
from msplora_search.search.store.storage import connect
from msplora_search.search.study import require_compatible
from msplora_search.settings import StudySettings
from tests.search.test_study import search
from tests.small import study_fields

Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, and a finished search in `out`."""
    folder = tmp_path_factory.mktemp("finished")
    search(folder, search={"trials": 2, "sampler": "random", "baselines": []})
    return folder


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished / "out", tmp_path / "out"))


def settings_of(folder: Path, **changes: Any) -> StudySettings:
    changes["search"] = {"trials": 2, "sampler": "random", "baselines": [], **changes.get("search", {})}
    return StudySettings.model_validate(study_fields(folder, **changes))


def sql(output: Path, *statement: Any) -> list[Any]:
    with closing(sqlite3.connect(output / "study.db")) as database, database:
        return database.execute(*statement).fetchall()


def change(output: Path, table: str, key: str, to: Callable[[Any], Any]) -> None:
    """Change the first attribute of that name."""
    of = "trial_user_attribute_id" if table.startswith("trial") else "study_user_attribute_id"
    ((number, text), *_) = sql(output, f"SELECT {of}, value_json FROM {table} WHERE key = ? ORDER BY {of}", (key,))
    sql(output, f"UPDATE {table} SET value_json = ? WHERE {of} = ?", (json.dumps(to(json.loads(text))), number))


def plan(to: Callable[[Any], Any]) -> Spoil:
    return lambda output: change(output, "trial_user_attributes", "plan", to)


def progress(to: Callable[[Any], Any]) -> Spoil:
    return lambda output: change(output, "trial_user_attributes", "progress", to)


def facts(to: Callable[[Any], Any]) -> Spoil:
    return lambda output: change(output, "study_user_attributes", "facts", to)


def without(*names: str) -> Callable[[Any], Any]:
    return lambda stored: {name: value for name, value in stored.items() if name not in names}


def zeroed(output: Path) -> None:
    (output / "study.db").write_bytes(bytes((output / "study.db").stat().st_size))


def truncated(output: Path) -> None:
    os.truncate(output / "study.db", (output / "study.db").stat().st_size // 2)


def page_zeroed(output: Path) -> None:
    with (output / "study.db").open("r+b") as file:
        file.seek(4096 * 4)
        file.write(bytes(4096 * 6))


def emptied(output: Path) -> None:
    (output / "study.db").write_bytes(b"")


def without_tables(output: Path) -> None:
    emptied(output)
    sql(output, "CREATE TABLE other (x)")


def without_study(output: Path) -> None:
    emptied(output)
    connect(f"sqlite:///{output / 'study.db'}")


def folder(output: Path) -> None:
    (output / "study.db").unlink()
    (output / "study.db").mkdir()


def no_json(output: Path) -> None:
    sql(output, "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'plan' AND trial_id = 2")


def unknown_state(output: Path) -> None:
    sql(output, "UPDATE trials SET state = 'RESTING' WHERE number = 1")


FEW = base64.b64encode(zlib.compress(np.zeros(3, dtype="<i4").tobytes())).decode()
DAMAGED: list[tuple[str, Spoil, str]] = [
    ("zeroed", zeroed, "file is not a database"),
    ("truncated", truncated, "is damaged"),
    ("pages zeroed", page_zeroed, "is damaged"),
    ("emptied", emptied, "is damaged (it is empty); restore it from a copy, or delete it to begin anew"),
    ("without tables", without_tables, "is damaged (it holds no study any more)"),
    ("without study", without_study, "is damaged (it holds no study any more)"),
    ("folder", folder, "is no file"),
    ("text that is no JSON", no_json, "trial 1: JSONDecodeError"),
    ("unknown state of Optuna", unknown_state, "trial 1: LookupError"),
    ("plan lacks a field", plan(without("pyramid")), "trial 0: KeyError 'pyramid'"),
    ("plan is a list", plan(lambda _: [1]), "trial 0: TypeError"),
    ("another pyramid", plan(lambda p: {**p, "pyramid": {"ranks": [1]}}), "trial 0: "),
    ("unknown state", progress(lambda p: {**p, "state": "resting"}), "'resting' is not a valid State"),
    ("unknown failure", progress(lambda p: {**p, "state": "failed", "failure": "x"}), "'x' is not a valid"),
    ("curve of another form", progress(lambda p: {**p, "curve": [{"rung": 1.0}]}), "trial 0: KeyError"),
    ("curve that cannot be unpacked",
     progress(lambda p: {**p, "curve": [{**p["curve"][0], "predictions": "AAAA"}]}), "trial 0: error"),
    ("curve on other examples",
     facts(lambda f: {**f, "labels": f["labels"][:64]}), "predictions for"),
    ("end on fewer examples",
     progress(lambda p: {**p, "curve": [{**p["curve"][-1], "predictions": FEW}]}), "has 3 predictions for"),
    ("facts are a number", facts(lambda _: 1), "facts are no mapping"),
    ("facts lack labels", facts(without("labels")), "facts lack labels"),
    ("labels are no base64", facts(lambda f: {**f, "labels": "?"}), "its facts: "),
    ("a fact of another type", facts(lambda f: {**f, "layers": "two"}), "no int under layers"),
    ("reference point of another form", facts(lambda f: {**f, "reference_point": {}}), "its facts: KeyError"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), [d[1:] for d in DAMAGED], ids=[d[0] for d in DAMAGED])
def test_damaged_results_are_one_line_and_stay_as_they_are(output: Path, spoil: Spoil, said: str) -> None:
    spoil(output)
    before = {p: p.read_bytes() for p in output.rglob("*") if p.is_file()}
    with pytest.raises(InputError) as caught:
        load_results(output)
    assert str(output / "study.db") in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in output.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("spoil", [zeroed, truncated, emptied, without_tables, without_study, folder])
def test_a_search_does_not_begin_anew_where_its_database_is_damaged(
    finished: Path, output: Path, spoil: Spoil
) -> None:
    spoil(output)
    with pytest.raises(InputError, match=r"study\.db"):
        require_compatible(settings_of(finished), output, None)


@pytest.mark.parametrize(
    ("spoil", "said"), [(no_json, "trial 1: JSON"), (plan(without("pyramid")), "trial 0: KeyError")]
)
def test_a_search_does_not_go_on_with_a_trial_that_it_cannot_read(
    finished: Path, output: Path, spoil: Spoil, said: str
) -> None:
    spoil(output)
    with pytest.raises(InputError, match=said):
        run_study(settings_of(finished, search={"trials": 3}), output)


def test_a_database_of_a_search_killed_at_once_is_gone_on_with(finished: Path, output: Path) -> None:
    (output / "study.yaml").unlink()
    emptied(output)
    require_compatible(settings_of(finished), output, None)
    with pytest.raises(InputError, match=r"holds no study\.db with a study"):
        load_results(output)


def test_facts_that_an_older_version_did_not_store_have_defaults(output: Path) -> None:
    facts(without(*DEFAULTS))(output)
    results = load_results(output)
    assert {name: results.facts[name] for name in DEFAULTS} == DEFAULTS
    assert len(results.validation.truth) == 144


def test_trials_of_a_version_without_repeats_have_the_seed_of_the_search(output: Path) -> None:
    before = load_results(output).records
    plan(without("seed", "repeat_of"))(output)
    after = load_results(output).records
    assert [(r.seed, r.repeat_of) for r in after] == [(r.seed, r.repeat_of) for r in before] == [(0, None)] * 2


def test_a_field_that_is_newer_than_the_study_has_its_default(finished: Path, output: Path) -> None:
    def older(stored: dict[str, Any]) -> dict[str, Any]:
        return {**without("backbone", "trust_remote_code")(stored), "pruning": {"rule": "envelope"}}

    change(output, "study_user_attributes", "settings", older)
    require_compatible(settings_of(finished), output, None)
    with pytest.raises(InputError, match=r"other settings: backbone\.dtype was 'fp32', is 'bf16'; set them back"):
        require_compatible(settings_of(finished, backbone={"dtype": "bf16"}), output, None)
    facts(lambda f: {**f, "settings": without("backbone")(f["settings"])})(output)
    assert load_results(output).settings == settings_of(finished)


def test_another_scaling_is_refused_whatever_the_study_was_begun_with(finished: Path, output: Path) -> None:
    other = settings_of(finished, space={"scaling": "rank-stabilised"})
    for begun in ({"scaling": "standard"}, {}):  # {}: by a version that knew no other

        def to(stored: dict[str, Any], begun: dict[str, str] = begun) -> dict[str, Any]:
            return {**stored, "space": {**without("scaling")(stored["space"]), **begun}}

        change(output, "study_user_attributes", "settings", to)
        with pytest.raises(InputError, match=r"space\.scaling was 'standard', is 'rank-stabilised'"):
            require_compatible(other, output, None)
        require_compatible(settings_of(finished, space={"scaling": "standard"}), output, None)


NEWER: list[tuple[str, Spoil]] = [
    (
        "warp.*another version",
        lambda output: change(output, "study_user_attributes", "settings", lambda s: {**s, "warp": 9}),
    ),
    (
        "newer version.*its form is 99",
        lambda output: change(output, "study_user_attributes", "settings_version", lambda _: 99),
    ),
]


@pytest.mark.parametrize(("said", "spoil"), NEWER)
def test_a_study_of_a_newer_version_is_refused_as_such(
    finished: Path, output: Path, said: str, spoil: Spoil
) -> None:
    spoil(output)
    with pytest.raises(InputError, match=f"study 'small'.*{said}.*install"):
        require_compatible(settings_of(finished), output, None)


def test_what_a_study_stores_says_its_form(output: Path) -> None:
    ((stored,),) = sql(output, "SELECT value_json FROM study_user_attributes WHERE key = 'settings_version'")
    assert stored == "1"
