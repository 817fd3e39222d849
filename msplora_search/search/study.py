"""A search from start to end: create or resume, baselines first, then proposals until the budget is spent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout

from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.search.events import Listener
from msplora_search.search.part import work_off
from msplora_search.search.storage import DATABASE, connect, default_url, require_same
from msplora_search.settings.models import StudySettings

LOCK = ".lock"


def run_study(
    settings: StudySettings,
    output: Path | None = None,
    storage: str | None = None,
    listen: Listener = lambda _: None,
) -> Path:
    """Search `settings.space`; called again on the same output it goes on. Returns the output folder.

    Results are in the storage (SQLite under the output folder unless `storage` names an Optuna
    URL) from the moment they are measured, so a killed search loses at most the trial in training.
    `scale.search.run_with_workers` does the same in several processes.

    Raises InputError for input that cannot be used; nothing on disk has changed then.
    """
    output = output_of(settings, output)
    require_compatible(settings, output, storage)
    workbench = Workbench.load(settings)
    with only_run(output):
        work_off(workbench, output, storage, 0, listen)
    return output


def output_of(settings: StudySettings, output: Path | None) -> Path:
    """The output folder: runs/NAME unless another is given."""
    return (output or Path("runs") / settings.name).resolve()


def require_compatible(settings: StudySettings, output: Path, storage: str | None) -> None:
    """Refuse another study's results before anything is loaded or written."""
    if storage is None and not (output / DATABASE).is_file():
        return
    connected = connect(storage or default_url(output))
    if settings.name in optuna.get_all_study_names(connected):
        require_same(settings, optuna.load_study(study_name=settings.name, storage=connected))


@contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Make the output folder and keep other runs out of it; where nothing came into it, it goes again."""
    lock = FileLock(output / LOCK)
    made = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"--output {output}: another run is at work there; wait for it, or name another"
        ) from None
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror}; name a folder that can be written") from None
    with lock:
        try:
            yield
        finally:
            if made and [path.name for path in output.iterdir()] == [LOCK]:
                (output / LOCK).unlink()
                output.rmdir()
