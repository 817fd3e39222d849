"""What a search shows while it runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar

from msplora_search.reporting.console import PlainTable, plain, print_line
from msplora_search.reporting.deciding import deciding_sentence
from msplora_search.reporting.lines import aside_line, closing_lines, opening_lines, running_line, trial_line
from msplora_search.reporting.rates import collapse_sentence, edge_sentence
from msplora_search.reporting.wording import (
    against_lora,
    always,
    comparisons,
    cost_sentence,
    duration,
    front_columns,
    front_rows,
    noise_sentence,
    sizes,
    verdict,
)
from msplora_search.results.pareto import front
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.events import (
    Event,
    Listener,
    Notice,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    TrialTaken,
    Waiting,
    WorkerLost,
)
from msplora_search.search.summary import Summary


@contextmanager
def search_display(console: Console) -> Iterator[Listener]:
    """A listener that shows a search on `console` for as long as the context lasts."""
    if not console.is_terminal:
        yield PlainLines(console).listen
        return
    display = LiveDisplay(console)
    with display.live:
        yield display.listen


def print_front(console: Console, summary: Summary, deciding: bool = True) -> None:
    """The front as a table, and what it says in sentences; `deciding`: what decides the metric, too."""
    title = f"Front of {summary.results.settings.name}"
    console.print()
    console.print(PlainTable(front_columns(summary), front_rows(summary), title=title))
    found = (*against_lora(summary), verdict(summary), *comparisons(summary))
    rates = (*edge_sentence(summary), *collapse_sentence(summary))
    said = (*found, *rates, noise_sentence(summary), cost_sentence(summary))
    for sentence in ("", *said, *(deciding_sentence(summary) if deciding else ())):
        print_line(console, sentence)


class Progressing:
    """Counts what is done and estimates what is left; shared by both displays."""

    def __init__(self) -> None:
        self.started: SearchStarted | None = None
        self._ended: dict[object, TrialRecord] = {}
        """By what is trained, or by number where nothing was."""
        self.running: dict[int, TrialRecord] = {}
        """By trial number; several where there are several workers."""
        self.at_once = 1

    def take(self, event: Event) -> None:
        """Follow the search."""
        match event:
            case SearchStarted():
                self.started = event
                self._ended.clear()
                for record in event.records:
                    if record.state != State.RUNNING:
                        self._end(record)
            case TrialStarted(record) | TrialMeasured(record):
                self.running[record.number] = record
                self.at_once = max(self.at_once, len(self.running))
            case WorkerLost():
                self.running.clear()
            case TrialTaken(record):
                self.running.pop(record.number, None)
            case TrialEnded(record):
                self.running.pop(record.number, None)
                self._end(record)

    def _end(self, record: TrialRecord) -> None:
        """One that went on where another was stopped stands for both."""
        trained = record.number if record.state.needs_no_training else (record.configuration, record.seed)
        self._ended.pop(trained, None)
        self._ended[trained] = record

    @property
    def ended(self) -> list[TrialRecord]:
        """What has a result, in the order in which it came."""
        return list(self._ended.values())

    @property
    def done(self) -> int:
        """Trials that ended, of those that the study was asked for."""
        return sum(record.counts for record in self.ended)

    @property
    def total(self) -> int | None:
        """Trials of the whole study; None where that is not known."""
        if self.started is None or self.started.trials is None:
            return None
        return self.started.baselines + self.started.trials + self.started.repeats

    def seconds_left(self) -> float | None:
        """An estimate; None before there is anything to go by."""
        if self.started is None:
            return None
        started = self.started
        return seconds_left(self.ended, started.baselines, started.trials, started.repeats, self.at_once)

    def front(self) -> list[TrialRecord]:
        """The front so far."""
        complete = [r for r in self.ended if r.state == State.COMPLETE]
        metrics = np.array([r.final.metric for r in complete])
        costs = np.array([r.cost for r in complete], dtype=float)
        return [complete[i] for i in front(metrics, costs)]


def seconds_left(
    ended: Sequence[TrialRecord], baselines: int, trials: int | None, repeats: int = 0, at_once: int = 1
) -> float | None:
    """Time for the trials that are missing, by the mean of those that run to the end, and of proposals, so far.

    None where it is not known how many are missing, or how long they take.
    """
    of_repeats = [r.seconds for r in ended if r.repeat_of is not None]
    of_baselines = [r.seconds for r in ended if r.repeat_of is None and r.baseline]
    of_proposals = [r.seconds for r in ended if r.repeat_of is None and not r.baseline and r.counts]
    whole = [*of_baselines, *of_repeats]
    every = [*whole, *of_proposals]
    if not every or trials is None:
        return None
    each_whole = float(np.mean(whole or every))
    each_proposal = float(np.mean(of_proposals if len(of_proposals) >= 3 else every))
    left = max(0, baselines - len(of_baselines)) + max(0, repeats - len(of_repeats))
    return (left * each_whole + max(0, trials - len(of_proposals)) * each_proposal) / at_once


class PlainLines:
    """One line an event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progressing()

    def listen(self, event: Event) -> None:
        """Print the line of an event."""
        self._progress.take(event)
        match event:
            case SearchStarted():
                for line in opening_lines(event):
                    self._say(line)
            case TrialEnded(record):
                left = self._progress.seconds_left()
                total = self._progress.total
                done = f"[{self._progress.done}/{total}]" if total else f"[{self._progress.done}]"
                rest = f"; about {duration(left)} left" if left else ""
                self._say(f"{done} {trial_line(record)}{rest}")
            case WorkerLost() | TrialTaken() | Waiting() | Notice():
                self._say(aside_line(event))
            case SearchEnded():
                for line in closing_lines(event):
                    self._say(line)

    def _say(self, line: str) -> None:
        print_line(self._console, line, whole=True)


class LiveDisplay:
    """A progress bar, the trial that runs, and the front so far."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progressing()
        self._began = time.monotonic()
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)

    def listen(self, event: Event) -> None:
        """Take in an event; the display refreshes by itself."""
        self._progress.take(event)
        match event:
            case SearchStarted():
                for line in opening_lines(event):
                    print_line(self._console, line)
            case TrialEnded(record):
                print_line(self._console, trial_line(record))
            case WorkerLost() | TrialTaken() | Waiting() | Notice():
                print_line(self._console, aside_line(event))
            case SearchEnded():
                for line in closing_lines(event):
                    print_line(self._console, line)

    def _render(self) -> Group:
        done, total, left = self._progress.done, self._progress.total, self._progress.seconds_left()
        elapsed = duration(time.monotonic() - self._began)
        rest = "" if left is None else f", about {duration(left)} left"
        lines = [f"{done}/{total or '?'} trials, {elapsed} elapsed{rest}"]
        lines += [running_line(record) for record in self._progress.running.values()]
        first, *others = [plain(line, self._console.encoding) for line in lines]
        parts: list[RenderableType] = [first, ProgressBar(total or None, done, width=BAR), *others]
        found = self._progress.front()[-12:]
        if found:
            columns = (*always(found[0].cost_is), "metric", "± SE")
            parts.append(PlainTable(columns, list(map(record_row, found)), title="front so far"))
        return Group(*parts)


BAR = 40
"""Columns of the progress bar, where there are so many."""


def record_row(record: TrialRecord) -> tuple[str, ...]:
    """A measured trial in the columns of the front so far."""
    name = f"{record.number}" + (f" ({record.baseline})" if record.baseline else "")
    final = record.final
    return name, str(record.pyramid), *sizes(record), f"{final.metric:.4f}", f"{final.metric_se:.4f}"
