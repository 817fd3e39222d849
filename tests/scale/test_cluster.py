"""A search on a real Ray cluster of several nodes on this machine: its nodes come, go, and are killed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from msplora_search.errors import InputError
from msplora_search.scale.cluster import Share
from msplora_search.scale.engines import run_on
from msplora_search.search.events import Event, SearchEnded, SearchStarted, TrialEnded, Waiting, WorkerLost
from msplora_search.search.results import load_results
from msplora_search.settings import StudySettings
from tests.program import begin, call
from tests.scale.watching import assert_whole, running, trials, until
from tests.servers import Postgres, add_node
from tests.small import study_fields, write_study

LONG = {"epochs": 40, "rungs": [0.25, 0.5, 1.0]}
"""A trial takes some seconds."""
SEARCH = {"trials": 6, "sampler": "random", "baselines": ["paper"]}
TRAINED = 7


def workers_of(url: str) -> list[int]:
    """Process numbers, of each trial that was begun."""
    return [trial.user_attrs["plan"]["worker"]["pid"] for trial in trials(url) if "plan" in trial.user_attrs]


def test_nodes_share_a_search_one_is_lost_and_another_joins(
    tmp_path: Path, postgres: Postgres, cluster: Any
) -> None:
    """The first node is lost while it trains; all is trained by it and by the one that joined later."""
    url = postgres.fresh("cluster")
    fields = study_fields(tmp_path, search=SEARCH, proxy=LONG, scale={"heartbeat": 1})
    settings, events, joined = StudySettings.model_validate(fields), list[Event](), list[Any]()
    first = add_node(cluster)

    def listen(event: Event) -> None:
        events.append(event)
        ended = sum(isinstance(e, TrialEnded) for e in events)
        if ended == 2 and not joined:
            joined.append(add_node(cluster))
            cluster.remove_node(first, allow_graceful=False)

    output = run_on("ray", settings, tmp_path / "out", url, None, cluster.address, listen)
    assert_whole(load_results(output, url), TRAINED)
    assert len(set(workers_of(url))) == 2
    assert [e for e in events if isinstance(e, WorkerLost)]
    assert isinstance(events[0], SearchStarted)
    assert isinstance(events[-1], SearchEnded)
    assert sum(isinstance(e, SearchStarted | SearchEnded) for e in events) == 2


def test_a_search_waits_for_a_node_that_has_room(tmp_path: Path, postgres: Postgres, cluster: Any) -> None:
    """And says so; two workers share the processor of the one that comes."""
    url = postgres.fresh("room")
    fields = study_fields(tmp_path, search=SEARCH, proxy=LONG, scale={"cpus": 0.5})
    settings, events = StudySettings.model_validate(fields), list[Event]()

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Waiting) and "no node" in event.what:
            add_node(cluster)

    output = run_on("ray", settings, tmp_path / "out", url, None, cluster.address, listen)
    assert events[0] == Waiting("for a node with 0.5 CPUs, which no node of the cluster has")
    assert_whole(load_results(output, url), TRAINED)
    assert len(set(workers_of(url))) == 2


def test_a_stopped_search_keeps_what_it_trained(tmp_path: Path, postgres: Postgres, cluster: Any) -> None:
    """By the command, as a user stops it: workers keep their step where scale.checkpoints says, and go on."""
    url, kept = postgres.fresh("stopped cluster"), tmp_path / "kept"
    study = write_study(tmp_path, search=SEARCH, proxy=LONG, scale={"heartbeat": 1, "checkpoints": str(kept)})
    add_node(cluster)
    words = ["run", study, "--output", "out", "--storage", url, "--engine", "ray"]
    words += ["--ray-address", cluster.address]
    run = begin(*words, cwd=tmp_path, joined=True)
    until(url, lambda found: any("progress" in trial.user_attrs for trial in running(found)))
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 143, said
    assert len(list((kept / "small").iterdir())) == 1
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_whole(load_results(tmp_path / "out", url), TRAINED)


@pytest.mark.parametrize(
    ("share", "node", "room"),
    [
        (Share(2, 0), {"CPU": 8}, 4), (Share(2, 0.5), {"CPU": 8, "GPU": 1}, 2), (Share(1, 1), {"CPU": 8}, 0),
        (Share(0.25, 0), {"CPU": 1}, 4),
    ],
)  # fmt: skip
def test_room_is_what_is_scarcer(share: Share, node: dict[str, float], room: int) -> None:
    assert share.room(node) == room


@pytest.mark.parametrize(
    ("storage", "address", "engine", "said"),
    [
        (None, None, "ray", "--storage: is missing; the nodes"),
        ("sqlite:///x.db", None, "ray", "--storage: sqlite:///x.db is not PostgreSQL"),
        (None, "somewhere:1", "local", "--ray-address somewhere:1: is for --engine ray"),
    ],
)
def test_what_a_cluster_cannot_use_is_refused(
    tmp_path: Path, storage: str | None, address: str | None, engine: Any, said: str
) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path))
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        run_on(engine, settings, tmp_path / "out", storage, None, address, lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path, postgres: Postgres) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path))
    with pytest.raises(InputError, match=r"--ray-address 127\.0\.0\.1:1: "):
        run_on("ray", settings, tmp_path / "out", postgres.fresh("none"), None, "127.0.0.1:1", lambda _: None)
    assert not (tmp_path / "out").exists()
