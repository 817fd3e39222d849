"""A search from start to end: create or resume, baselines first, then proposals until the budget is spent."""

from __future__ import annotations

from pathlib import Path

import optuna

from msplora_search.proxy.workbench import Workbench
from msplora_search.search.events import Listener
from msplora_search.search.part import work_off
from msplora_search.search.store.address import default_url
from msplora_search.search.store.carried import WarmStart
from msplora_search.search.store.folder import only_run, unusable
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import holds_study
from msplora_search.search.store.sameness import require_same
from msplora_search.search.store.storage import opened
from msplora_search.search.warm_start import earlier_fronts
from msplora_search.settings.models import StudySettings


def run_study(
    settings: StudySettings,
    output: Path | None = None,
    storage: str | None = None,
    listen: Listener = lambda _: None,
    retry_failed: bool = False,
) -> Path:
    """Search `settings.space`; called again on the same output it goes on. Returns the output folder.

    Results are in the storage (SQLite under the output folder unless `storage` names an Optuna
    URL) from the moment they are measured, so a killed search loses at most the trial in training.
    Called again it trains anew what was interrupted, or failed for want of memory or disk, and every
    baseline that failed; with `retry_failed` also what failed otherwise.
    `scale.search.run_with_workers` does the same in several processes.

    Raises InputError for input that cannot be used; nothing on disk has changed then. Raises WorkerStoppedError
    after several trials in a row that failed; what was measured is kept.
    """
    output = output_of(settings, output)
    require_compatible(settings, output, storage)
    workbench = Workbench.load(settings)
    with only_run(output):
        work_off(workbench, output, storage, Crew.of_this_call(storage, retry_failed), 0, listen)
    return output


def output_of(settings: StudySettings, output: Path | None) -> Path:
    """The output folder: runs/NAME unless another is given. Raises InputError for a path that cannot be one."""
    folder = output or Path("runs") / settings.name
    try:
        folder.exists()
        return folder.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, links in a circle
        raise unusable(folder, getattr(error, "strerror", None) or str(error)) from None


def require_compatible(settings: StudySettings, output: Path, storage: str | None) -> None:
    """Refuse another study's results, damaged ones, and fronts that are to be carried over but cannot be read.

    Before anything is loaded or written.
    """
    if storage is None and not holds_study(output):
        default_url(output)  # says so where the path cannot be an address
        earlier_fronts(settings)
        return
    url, known = storage or default_url(output), WarmStart()
    with opened(url) as connected:
        if settings.name in optuna.get_all_study_names(connected):
            study = optuna.load_study(study_name=settings.name, storage=connected)
            require_same(settings, study)
            known = WarmStart.of(study)
    earlier_fronts(settings, known.fronts)
