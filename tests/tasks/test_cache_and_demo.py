from __future__ import annotations

import hashlib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from msplora_search.errors import InputError
from msplora_search.tasks.cache import CACHE_VARIABLE, cache_root, cached_folder
from msplora_search.tasks.demo import demo_model, demo_rows
from msplora_search.tasks.demo.packages import Package, fetch


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "x").write_text("1")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_folder("a/b", make), range(4)))
    assert len(made) == 1
    assert {folder.joinpath("x").read_text() for folder in found} == {"1"}


def test_a_folder_appears_whole_or_not_at_all() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("1")
        raise InputError("no luck")

    with pytest.raises(InputError, match="no luck"):
        cached_folder("a", fail)
    assert not (cache_root() / "a").exists()
    assert cached_folder("a", lambda folder: (folder / "x").touch()).joinpath("x").is_file()
    assert not (cache_root() / "a" / "half").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(blocked))
    with pytest.raises(InputError, match=f"cache folder {blocked}.*set {CACHE_VARIABLE}"):
        cached_folder("a", lambda _: None)


def package_of(content: bytes, sha256: str | None = None) -> Package:
    return Package("some-demo==1.0", "some_demo-1.0.whl", sha256 or hashlib.sha256(content).hexdigest())


def put(content: bytes) -> Path:
    folder = cache_root() / "downloads"
    folder.mkdir(parents=True)
    path = folder / "some_demo-1.0.whl"
    path.write_bytes(content)
    return path


def test_a_package_put_there_by_hand_is_used() -> None:
    path = put(b"wheel")
    assert fetch(package_of(b"wheel")) == path


def test_another_hash_is_refused_by_file() -> None:
    path = put(b"tampered")
    with pytest.raises(InputError, match=r"some-demo==1.0: .* has sha256 .*, not .*; delete it") as caught:
        fetch(package_of(b"wheel"))
    assert str(path) in str(caught.value)


def test_a_package_that_cannot_be_downloaded_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match=r"could not be downloaded \(.*\); check the network, or put some_demo"):
        fetch(package_of(b"wheel"))
    assert not list((cache_root() / "downloads").glob("*/*"))


def test_a_local_index_is_asked_by_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "some_demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "some_demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-demo\nVersion: 1.0\n"
        )
        archive.writestr("some_demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("some_demo-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert fetch(Package("some-demo==1.0", wheel.name, sha256)).read_bytes() == wheel.read_bytes()
    with pytest.raises(InputError, match="could not be downloaded"):
        fetch(Package("some-demo==1.0", wheel.name, "0" * 64))


def test_unknown_demo_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"demo:minilmm: no such demo model; did you mean 'minilm'"):
        demo_model("minilmm")
    with pytest.raises(InputError, match=r"demo:movies: no such demo data; did you mean 'movie-reviews'"):
        demo_rows("movies")


@pytest.mark.slow
def test_the_demo_reviews_are_what_is_described() -> None:
    rows = demo_rows("movie-reviews")
    assert len(rows) > 8000
    assert {row["label"] for row in rows} == {"positive", "negative"}
    assert all(isinstance(row["rating"], float) and abs(row["rating"]) >= 0.5 for row in rows)
    assert not any("&quot;" in str(row["text"]) for row in rows)
