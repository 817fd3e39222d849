"""The shape of the house: which way imports point, and where each dependency lives."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import msplora_search

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "msplora_search"
FLOORS = [
    {"text"}, {"errors", "stopping"}, {"files"}, {"design"}, {"settings"}, {"results"}, {"adapters"}, {"tasks"},
    {"proxy"}, {"search"}, {"scale"}, {"full"}, {"analysis", "compression"}, {"reporting"}, {"cli_parts"},
    {"cli_full", "cli_check", "cli_plot", "cli_analyze", "cli_compress"},
    {"cli"},
]  # fmt: skip
"""Bottom to top; `__init__` stands above all of them."""
HOMES = {
    "optuna": {"search"},
    "sqlalchemy": {"search"},
    "matplotlib": {"reporting"},
    "markdown_it": {"reporting"},
    "plotly": {"reporting"},
    "yaml": {"settings"},
    "pydantic": {"settings"},
    "sklearn": {"tasks", "search"},
    "datasets": {"tasks"},
    "pyarrow": {"tasks"},
    "typer": {"cli", "cli_analyze", "cli_check", "cli_compress", "cli_full", "cli_parts", "cli_plot"},
    "peft": {"adapters", "full"},
    "seqeval": set(),
    "trl": {"full"},
    "gguf": {"full"},
    "onnx": {"full"},
    "onnxruntime": {"full"},
    "onnxscript": {"full"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module)):
                yield module


def floor_of(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    own = [name.split(".")[1] for name in imports(path) if name.startswith("msplora_search.")]
    assert all(other == room or floor_of(other) < floor_of(room) for other in own), own


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_dependency_has_one_home(path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or room_of(path) in homes, name


@pytest.mark.parametrize("module", ["design.space", "design.pyramid", "results.pareto", "settings"])
def test_plain_modules_load_neither_torch_nor_optuna(module: str) -> None:
    probe = f"import sys, msplora_search.{module}; print({{'torch', 'optuna', 'transformers'}} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_looking_at_a_study_loads_nothing_that_trains() -> None:
    probe = (
        "import sys, msplora_search.reporting.status, msplora_search.search.results; "
        "print({'torch', 'sklearn', 'transformers', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_map_of_the_code_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = {word for word in re.findall(r"`([\w./]+)`", text) if "/" in word}
    folders = (ROOT, PACKAGE)
    assert not [word for word in named if not any((folder / word).exists() for folder in folders)]
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(re.findall(r"`(\w+)`", text))


def test_the_public_names_are_these() -> None:
    assert sorted(msplora_search.__all__) == [
        "DepthGroup", "Pyramid", "attach", "detach", "load_front", "load_pyramid", "run_study", "save_pyramid",
        "to_peft",
    ]  # fmt: skip
    for name in msplora_search.__all__:
        assert getattr(msplora_search, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = msplora_search.nothing


def test_the_top_level_is_as_agreed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    top = {name.split("/")[0] for name in listed}
    assert {name for name in top if not name.startswith(".")} <= {
        "msplora_search", "spaces", "studies", "tests", "scripts",
        "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
    }  # fmt: skip


def test_no_file_holds_a_second_idea() -> None:
    long = {str(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 300}
    assert not long
