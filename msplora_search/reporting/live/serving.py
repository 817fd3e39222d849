"""Serves the page of a study until the user has seen enough."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from msplora_search.reporting.live.server import PageServer
from msplora_search.reporting.live.study import LiveStudy
from msplora_search.stopping import last_signal


def serve_study(output: Path, storage: str | None, given: str, port: int, say: Callable[[str], None]) -> None:
    """Serve it on `port`, a free one for 0, and `say` where, until Ctrl-C.

    Raises InputError where nothing can be served, or there is no study and nobody is about to begin one.
    """
    study = LiveStudy(output, storage, given)
    state = study.require_begun().state.rstrip(".")
    with PageServer(lambda: study, port) as server:
        try:
            say(f"Live: {server.address} (until Ctrl-C). {state}.")
            server.serve_forever()
        except KeyboardInterrupt:
            if last_signal() != signal.SIGINT:
                raise
