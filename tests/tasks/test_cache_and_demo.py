from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from msplora_search.errors import InputError
from msplora_search.settings import StudySettings
from msplora_search.tasks.cache import CACHE_VARIABLE, cache_root, cached_folder
from msplora_search.tasks.checksums import MANIFEST
from msplora_search.tasks.demo import demo_model, demo_rows
from msplora_search.tasks.demo.models import DEMO_MODELS, DemoModel
from msplora_search.tasks.demo.packages import Package, fetch
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.task import read_corpus
from msplora_search.tasks.tokens import Tokens
from tests.small import save_model, study_fields, tokenizer


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


@pytest.mark.parametrize("place", ["{tmp}/file", "{tmp}/file/below", "{tmp}/loop", "/proc/nothing", "/dev/null/x"])
def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    blocked = place.format(tmp=tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, blocked)
    with pytest.raises(InputError, match=f"^cache folder {blocked}: .*; set {CACHE_VARIABLE} to a folder"):
        cached_folder("a", lambda _: None)


def test_a_cache_in_the_home_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "~nobody-here/cache")
    with pytest.raises(InputError, match=f"{CACHE_VARIABLE} is ~nobody-here/cache; there is no such user"):
        cached_folder("a", lambda _: None)


def test_a_file_of_the_user_is_not_blamed_on_the_cache(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/data.csv: No such file or directory$"):
        cached_folder("a", lambda _: (tmp_path / "data.csv").unlink())


@pytest.mark.parametrize(
    "make",
    ["(f / 'x').write_bytes(bytes(100_000))", "__import__('numpy').save(f / 'x.npy', [0] * 100_000)"],
)
def test_a_full_disk_is_one_line(make: str) -> None:
    program = (
        "import resource\nfrom msplora_search.tasks.cache import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        f"try: cached_folder('a', lambda f: {make})\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.fullmatch(f"cache folder {cache_root()}: .*; set {CACHE_VARIABLE} to a folder .*\n", done.stdout)
    assert [path.name for path in cache_root().iterdir()] == ["a.lock"]


def test_a_process_that_holds_the_lock_is_waited_for_and_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("msplora_search.tasks.cache.PATIENCE", 0.1)
    cache_root().mkdir(parents=True)
    lock = cache_root() / "a.lock"
    hold = f"import filelock, sys\nwith filelock.FileLock({str(lock)!r}): print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        threading.Timer(0.5, holder.stdin.close).start()
        assert cached_folder("a", lambda folder: (folder / "x").touch()).joinpath("x").is_file()
    assert capsys.readouterr().err == f"waiting for another process, which holds {lock} ...\n"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    """One bit, with the time of the file as it was."""
    data, found = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: list[Callable[[Path], None]] = [cut, empty, zero, flip, Path.unlink, folder_instead, pipe_instead]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tokens_are_made_anew(
    tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path))
    capsys.readouterr()
    source = settings.task.dataset
    before = read_corpus(kind_of(settings.task, tokenizer()), source)
    assert isinstance(before.examples, Tokens)
    ids, truth = before.examples.ids.tolist(), before.truth.tolist()
    (folder,) = (cache_root() / "tokens").glob("*/")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [MANIFEST, "description.json", "ids.npy", "offsets.npy", "truth.npy", "types.npy"]
    assert capsys.readouterr().err == ""
    for name in names:
        damage(folder / name)
        after = read_corpus(kind_of(settings.task, tokenizer()), source)
        assert isinstance(after.examples, Tokens)
        assert (after.examples.ids.tolist(), after.truth.tolist()) == (ids, truth)
        assert (after.classes, after.fingerprint) == (before.classes, before.fingerprint)
        told = capsys.readouterr().err
        assert re.fullmatch(rf"cache folder tokens/{folder.name}: .*; it is made anew\n", told)
        assert name == MANIFEST or f"{name} is damaged" in told
    read_corpus(kind_of(settings.task, tokenizer()), source)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_demo_model_is_made_anew(
    tmp_path: Path,
    damage: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_model(tmp_path / "model")
    capsys.readouterr()

    def make(folder: Path) -> None:
        shutil.copytree(tmp_path / "model", folder, dirs_exist_ok=True)

    monkeypatch.setitem(DEMO_MODELS, "small", DemoModel(make, "at once"))
    folder = demo_model("small")
    assert capsys.readouterr().err == "demo:small is made once, at once ...\n"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} < set(before)
    for name in before:
        damage(folder / name)
        assert {path.name: path.read_bytes() for path in demo_model("small").iterdir()} == before
        assert re.fullmatch(r"cache folder models/small: .*; it is made anew\n", capsys.readouterr().err)


def test_a_folder_of_an_earlier_version_or_a_file_in_its_place_is_made_anew(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = cache_root() / "a"
    folder.mkdir(parents=True)
    (folder / "old").touch()
    assert cached_folder("a", lambda part: (part / "new").touch()) == folder
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "new"]
    assert "a: it has no checksums" in capsys.readouterr().err
    shutil.rmtree(folder)
    folder.write_text("")
    assert cached_folder("a", lambda part: (part / "new").touch()).is_dir()
    assert capsys.readouterr().err == "cache folder a: it is no folder; it is made anew\n"


def test_a_link_in_the_cache_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("1")
    cache_root().mkdir()
    (cache_root() / "a").symlink_to(tmp_path / "mine")
    assert cached_folder("a", lambda part: (part / "new").touch()).joinpath("new").is_file()
    assert (tmp_path / "mine" / "notes").read_text() == "1"


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
    assert path.read_bytes() == b"tampered"  # it is the user's


def test_a_package_that_cannot_be_downloaded_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match=r"could not be downloaded \(.*\); check the network, or put some_demo"):
        fetch(package_of(b"wheel"))
    assert not list((cache_root() / "downloads").glob("*/*"))


def test_a_local_index_is_asked_by_hash_and_again_for_what_was_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    package = Package("some-demo==1.0", wheel.name, sha256)
    assert fetch(package).read_bytes() == wheel.read_bytes()
    assert capsys.readouterr().err == ""
    for damage in (flip, folder_instead):
        damage(fetch(package))
        assert fetch(package).read_bytes() == wheel.read_bytes()
        assert f"{wheel.name} is damaged; it is made anew" in capsys.readouterr().err
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
