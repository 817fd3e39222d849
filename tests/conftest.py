from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.servers import Postgres, missing

# A shared machine is slow at times: how long an example takes says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with many long tests first: what processes have left to share at the end is quick."""
    of_long = Counter(item.path for item in items if takes_long(item))
    items.sort(key=lambda item: -of_long[item.path])


def takes_long(item: pytest.Item) -> bool:
    """Slow ones, and those that need a server."""
    servers = {"postgres", "cluster"} & set(getattr(item, "fixturenames", ()))
    return bool(servers) or item.get_closest_marker("slow") is not None


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache for each test; slow tests keep the user's, which spares them the downloads."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests of a process.

    Not in a folder of pytest's, which a further pytest that begins closes to other users, such as the server's.
    """
    with tempfile.TemporaryDirectory(prefix="msplora-postgres-") as folder:
        made = Postgres.create(Path(folder) / "data")
        yield made
        made.stop()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that takes no work; nodes are added by the test."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # its workers give way to all others, else
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        missing("Ray is not installed")
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20},
    )
    yield made
    made.shutdown()  # type: ignore[no-untyped-call]
