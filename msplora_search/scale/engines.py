"""Who starts the workers of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msplora_search.errors import InputError
from msplora_search.scale.cluster import run_on_ray
from msplora_search.scale.search import run_with_workers
from msplora_search.search.events import Listener
from msplora_search.settings.models import StudySettings

Engine = Literal["local", "ray"]


def run_on(
    engine: Engine,
    settings: StudySettings,
    output: Path | None,
    storage: str | None,
    workers: int | None,
    ray_address: str | None,
    listen: Listener,
    retry_failed: bool = False,
) -> Path:
    """Search on this machine or on a Ray cluster; returns the output folder.

    `workers`: trainings at a time, those of the study unless given. Raises InputError as `run_study` does.
    """
    if engine == "ray":
        return run_on_ray(settings, output, storage, ray_address, workers, listen, retry_failed)
    if ray_address is not None:
        raise InputError(f"--ray-address {ray_address}: is for --engine ray")
    return run_with_workers(settings, output, storage, workers, listen, retry_failed)
