"""A search in several processes of this machine, which share its storage."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from msplora_search.errors import InputError, WorkerStoppedError
from msplora_search.proxy.workbench import Workbench
from msplora_search.scale.crew import together
from msplora_search.scale.relay import Relay
from msplora_search.search.events import Listener, WorkerLost
from msplora_search.search.part import take_part, work_off
from msplora_search.search.store.folder import only_run
from msplora_search.search.store.identity import Crew
from msplora_search.search.study import output_of, require_compatible, run_study
from msplora_search.settings.models import StudySettings


def wanted(settings: StudySettings, workers: int | None) -> int | None:
    """Trainings at a time, by the command or else by the study; None where neither says. Raises InputError."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be at least 1")
    return settings.scale.workers if workers is None else workers


def run_with_workers(
    settings: StudySettings,
    output: Path | None,
    storage: str | None,
    workers: int | None,
    listen: Listener,
    retry_failed: bool = False,
) -> Path:
    """`run_study` with `workers` trials at a time, those of the study unless given, each in a process of its own.

    A worker that is killed loses the trial that it trained, which another trains anew; one whose trials fail one
    after the other stops, and the others go on. Raises InputError as `run_study` does, and where workers die
    without a trial coming to its end, WorkerStoppedError where all have stopped.
    """
    workers = wanted(settings, workers) or 1
    if workers == 1:
        return run_study(settings, output, storage, listen, retry_failed)
    output = output_of(settings, output)
    require_compatible(settings, output, storage)
    with only_run(output):
        _work_off(settings, output, storage, Crew.of_this_call(storage, retry_failed), workers, listen)
    return output


def join_search(settings: StudySettings, storage: str, workers: int | None, listen: Listener) -> None:
    """Help searches of the same study at a storage, or begin it, until nothing is left to begin.

    `workers`: trainings at a time, those of the study unless given. Trainings that are not finished are kept for
    others where `scale.checkpoints` names a folder. Raises InputError as `run_with_workers` does.
    """
    workers = wanted(settings, workers) or 1
    with TemporaryDirectory(prefix="msplora-search-") as folder:
        output = Path(folder)
        require_compatible(settings, output, storage)
        crew = Crew.of_this_call(storage, stays=False)
        if workers == 1:
            work_off(Workbench.load(settings), output, storage, crew, 0, listen)
        else:
            _work_off(settings, output, storage, crew, workers, listen)


def _work_off(
    settings: StudySettings, output: Path, storage: str | None, crew: Crew, workers: int, listen: Listener
) -> None:
    """With several processes; those that die are replaced as long as trials come to their end.

    Those that stopped by themselves are not. Where the others came to the end, nothing is left.
    """
    relay = Relay(listen)
    while lost := together(workers, take_part, (settings, output, storage, crew), relay):
        crew = crew.next_round()
        died = [worker for worker in lost if not worker.stopped]
        for worker in died:
            listen(WorkerLost(str(worker)))
        if len(lost) - len(died) == workers:
            raise WorkerStoppedError(lost[0].why)
        if not died:
            break
        workers -= len(lost) - len(died)
        if not relay.advanced:
            raise InputError(f"{died[0]} and no trial came to its end; fewer --workers take less memory")
        relay.advanced = False
    relay.end()
