from __future__ import annotations

import sqlite3
import string
import sys
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from msplora_search.errors import InputError
from msplora_search.search.store.address import DATABASE, default_url, file_of, hide_password, redact
from msplora_search.search.store.storage import connect

NASTY = [
    "a?b=c", "100%20 done", "a#b", "ü", "a;b", "'quoted' \"twice\"", "%41", "a::b", "[brackets]", "*", "{braces}",
    "{SCHEMA_VERSION}", "a&b=c", "a+b", "a@b:c", "~nobody", " leading", "back\\slash", "sqlite:", "%", "%%s",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_the_database_lies_in_its_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = default_url(folder)
    assert file_of(url) == folder / DATABASE
    optuna.create_study(study_name="s", storage=connect(url))
    assert [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()] == [Path(name) / DATABASE]
    assert optuna.get_all_study_names(connect(url)) == ["s"]
    with sqlite3.connect(folder / DATABASE) as database:
        assert database.execute("SELECT study_name FROM studies").fetchall() == [("s",)]
    database.close()


def test_a_folder_whose_name_is_no_text_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"--output /x/\\udcff: its name is no text in utf-8; name another folder"
    ):
        default_url(Path("/x/\udcff"))


def test_a_relative_address_is_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    connect("sqlite:///one.db")
    assert [p.name for p in tmp_path.iterdir()] == ["one.db"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@localhost:1/none", "postgresql://user:***@localhost:1/none"),
        (
            "postgresql://user@localhost:5432/db?password=secret",
            "postgresql://user@localhost:5432/db?password=***",
        ),
        (
            "postgresql://u@h/d?sslmode=require&sslpassword=secret",
            "postgresql://u@h/d?sslmode=require&sslpassword=***",
        ),
        ("postgresql://u@h/d?passfile=/secret", "postgresql://u@h/d?passfile=***"),
        ("postgresql://u:secret@h/d?password=secret", "postgresql://u:***@h/d?password=***"),
        ("postgresql:/user:secret@host/db", "postgresql:/user:***@host/db"),
        ("postgresql//user:secret@host/db", "postgresql//user:***@host/db"),
        ("postgresql:user:secret@host/db", "postgresql:***@host/db"),
        ("user:secret@host/db", "user:***@host/db"),
        ("postgresql://user:secret", "postgresql://user:***"),
        ("user:secret", "user:***"),
        ("postgresql://user:sec@ret@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:sec?password=ret@host/db", "postgresql://user:***"),
        ("host=localhost password=secret user=u", "host=localhost password=***"),
        ("sqlite:////a:b@c/study.db", "sqlite:////a:b@c/study.db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://u@[::1]:5432/db", "postgresql://u@[::1]:5432/db"),
        ("nonsense", "nonsense"),
        ("red\x1b[31m", "red\\x1b[31m"),
    ],
)
def test_an_address_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert hide_password(url) == shown


PASSWORD = st.text(string.ascii_letters + string.digits + "@:/?#%&=+ ;[]{}'\"\\ü", min_size=6, max_size=20)
FORMS = [
    "postgresql+nodriver://user:{}@localhost:1/db", "nodialect://user:{}@localhost/db", "postgresql:/user:{}@h/db",
    "postgresql//user:{}@h", "user:{}@h/db", "postgresql+nodriver://u@localhost:1/d?password={}",
    "nodialect://u@h/d?x=y&sslpassword={}", "host=h password={}", "mysql://u:{}@localhost/db?ssl_key=k",
    "sqlite+pysqlcipher://:{}@/secret.db",
]  # fmt: skip


@given(PASSWORD, st.sampled_from(FORMS), st.booleans())
def test_no_password_is_in_any_message_nor_in_what_it_was_raised_for(
    password: str, form: str, encoded: bool
) -> None:
    assume(password not in form and "***" not in password)
    with pytest.raises(InputError) as caught:
        connect(form.format(quote(password, safe="") if encoded else password))
    error: BaseException | None = caught.value
    told = []
    while error is not None:
        told.append(f"{error} {error!r}")
        error = error.__cause__ or error.__context__
    assert "\n" not in str(caught.value)
    for text in told:
        for written in (password, quote(password, safe="")):
            assert written not in text


def test_what_a_driver_says_is_shown_without_the_password() -> None:
    url = "postgresql://user:top%20secret@host/db"
    said = redact("cannot connect with 'top secret' (top%20secret, top+secret)", url)
    assert said == "cannot connect with '***' (***, ***)"
    assert redact("an a too short to be told from text", "postgresql://user:a@host/db") == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://localhost/x", "pip install 'mysqlclient'"),
        ("mysql+pymysql://localhost/x", "pip install 'PyMySQL'"),
        ("postgresql+psycopg2://localhost/x", "pip install 'psycopg2-binary'"),
        ("postgresql+psycopg://localhost/x", "pip install 'psycopg[binary]'"),
        ("redis://localhost/x", "Can't load plugin: sqlalchemy.dialects:redis"),
        ("postgresql://user:p@ss@localhost/x", "written as %40 %3A"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////", "is a folder"),
    ],
)
def test_an_address_that_cannot_be_opened_is_one_line_of_what_to_do(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    with pytest.raises(InputError) as caught:
        connect(url)
    assert str(caught.value).startswith("--storage ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
