"""What a clone installs is known by its hash, and is what the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SCRIPTS = Path(__file__).parents[1] / "scripts"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pinned(name: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes by package."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in re.split(r"\n(?=\S)", (SCRIPTS / name).read_text()):
        if match := re.match(r"(\S+)==(\S+)", entry):
            found[canonicalize_name(match[1])] = (match[2], re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry))
    return found


@pytest.mark.parametrize("name", ["pinned.txt", "pinned-dev.txt"])
def test_every_package_has_a_hash_and_no_address(name: str) -> None:
    assert all(hashes for _, hashes in pinned(name).values())
    assert "://" not in (SCRIPTS / name).read_text()


def test_all_that_the_project_asks_for_is_pinned_in_a_version_that_it_takes() -> None:
    every = {**pinned("pinned.txt"), **pinned("pinned-dev.txt")}
    project = tomllib.loads(PROJECT.read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    asked = [Requirement(line) for line in lines]
    assert len(asked) > 25
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        if name not in ("torch", "pip"):  # torch differs by machine; pip is of the environment
            assert every[name][0] in requirement.specifier
