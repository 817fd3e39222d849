"""The events of several workers, as those of one search."""

from __future__ import annotations

from msplora_search.search.events import Event, Listener, SearchEnded, SearchStarted, TrialEnded


class Relay:
    """Passes them on: the first start, every trial, and one end when all have ended."""

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._started = False
        self._ended: SearchEnded | None = None
        self.advanced = False
        """Whether a trial ended since this was last set to false."""

    def __call__(self, event: Event) -> None:
        """The next event of any worker."""
        match event:
            case SearchStarted() if self._started:
                return
            case SearchStarted():
                self._started = True
            case SearchEnded():
                self._ended = event
                return
            case TrialEnded():
                self.advanced = True
        self._listen(event)

    def end(self) -> None:
        """No more events come."""
        if self._ended is not None:
            self._listen(self._ended)
