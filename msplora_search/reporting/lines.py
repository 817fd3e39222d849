"""What is said of a search while it runs, a line each."""

from __future__ import annotations

from msplora_search.reporting.wording import duration
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.events import Aside, Notice, SearchEnded, SearchStarted, TrialTaken, Waiting, WorkerLost
from msplora_search.text import amount, several


def opening_lines(event: SearchStarted) -> list[str]:
    """What is about to happen."""
    proposals = "proposals" if event.trials is None else f"{event.trials} trained proposals"
    trials, unknown = f"{several(event.baselines, 'baseline trial')} and {proposals}", ""
    if event.repeats:
        trials = trials.replace(" and", ",") + f" and up to {event.repeats} repeats with other seeds"
    else:
        unknown = "; nothing is trained with several seeds, so the noise of training stays unknown"
    lines = [
        f"space: {event.space.extent} for {event.space.layers} layers; "
        f"{trials} of up to {event.proxy_steps} steps each{event.budgets and ', '}{event.budgets}{unknown}"
    ]
    if event.records:
        lines.append(f"resuming: {several(sum(r.counts for r in event.records), 'trial')} in the record")
    return [*lines, *event.notes]


def closing_lines(event: SearchEnded) -> list[str]:
    """Why it ended, and what more of it would bring."""
    lines, further = [f"search ended: {event.reason}"], event.further
    if further is not None:
        gain, more = (
            amount(further.gain, further.bounds),
            f"a further hour, some {several(further.trials, 'trial')},",
        )
        if further.all_that_is_left:
            more = f"what is left of the space, {several(further.trials, 'configuration')},"
        lines.append(f"{more} is expected to raise the front by {gain}, as a mean over sizes")
    return lines


def trial_line(record: TrialRecord) -> str:
    """How a trial ended."""
    head = f"trial {record.number} {_kind(record)} {record.pyramid or 'no ranks'} lr {record.learning_rate:g}"
    size = record.size
    match record.state:
        case State.COMPLETE:
            end = f"{record.final.metric:.4f} ± {record.final.metric_se:.4f}, {duration(record.seconds)}"
        case State.PRUNED:
            end = f"pruned at {record.final.metric:.4f}: {record.reason}"
        case State.DUPLICATE:
            end = f"repeats {record.reason}; not trained again"
        case state:
            end = f"{state}: {record.reason}"
    return f"{head}, {size}: {end}"


def aside_line(event: Aside) -> str:
    """What is told beside the course of a search."""
    match event:
        case WorkerLost(what):
            return f"{what}; the trial that it trained will be trained anew"
        case TrialTaken(record):
            to = "was given to another worker, for this one had given no sign of life for long"
            return f"trial {record.number} {to}"
        case Waiting(what):
            return f"waiting {what}"
        case Notice(what):
            return what


def running_line(record: TrialRecord) -> str:
    """What a trial is doing."""
    at = f"{record.final.metric:.4f} at step {record.final.step}" if record.curve else "no measurement yet"
    return f"trial {record.number} {_kind(record)}: {record.pyramid}, {record.size}, {at}"


def _kind(record: TrialRecord) -> str:
    """What a trial is."""
    if record.repeat_of is None:
        return record.baseline or "proposal"
    return f"{record.baseline or f'trial {record.repeat_of}'} again, seed {record.seed}"
