from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.servers import Postgres

# A shared machine is slow at times: how long an example takes says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache for each test; slow tests keep the user's, which spares them the downloads."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server for all tests of a process."""
    made = Postgres.create(tmp_path_factory.mktemp("postgres") / "data")
    yield made
    made.stop()
