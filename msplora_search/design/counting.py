"""How many canonical pyramids a space reaches (see `splits`), counted without listing them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msplora_search.design.canonical import canonical_groups, canonical_stack
from msplora_search.design.depth import DepthGroup, spans
from msplora_search.design.splits import FixedSplit, FreeSplits, Interval, RankPair, Scenario

MOST_STEPS = 800_000
"""Of counting, which takes a second or two; what takes longer has more pyramids than a search will try."""
MOST_SCENARIOS = 200_000
"""That are worth looking at."""
MOST_LISTED_LAYERS = 400_000
"""Of choices that are built one by one, all together."""

Survivors = tuple[tuple[int, Interval], ...]
"""The scenarios, by index, that can still build a prefix of groups, each with the number of groups so far."""

State = tuple[int | None, Survivors]
"""The layer rank of the last group where it has no mid level, and who survives."""


class TooLargeError(Exception):
    """Counting the space would take more than `MOST_STEPS` steps."""


@dataclass
class Budget:
    """Steps that are left."""

    steps: int = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Raises TooLargeError where not so many are left."""
        self.steps -= steps
        if self.steps < 0:
            raise TooLargeError


def count_canonical(scenarios: Mapping[int, Sequence[Scenario]], layers: int) -> int:
    """Number of canonical (global rank, groups) that the scenarios of each global rank reach.

    Raises TooLargeError.
    """
    budget = Budget()
    if (listed := _listed(scenarios)) is not None and len(listed) * layers <= MOST_LISTED_LAYERS:
        return len({canonical_stack(*choice, (1.0, 1.0, 1.0))[:2] for choice in listed})
    single = len(_single_group_forms(scenarios, layers, budget))
    per_rank = Counter(tuple(options) for options in scenarios.values())
    return single + sum(ranks * _Depth(options, layers, budget).count() for options, ranks in per_rank.items())


def _listed(scenarios: Mapping[int, Sequence[Scenario]]) -> list[tuple[int, list[DepthGroup]]] | None:
    """Every choice that adapts anything, where each scenario is one; None where they are not written out."""
    found = []
    for global_rank, options in scenarios.items():
        for scenario in options:
            if len(scenario.pairs) > 1 or isinstance(scenario.split, FreeSplits):
                return None
            ((mid, layer),) = scenario.pairs
            if global_rank or mid or layer:
                groups = [DepthGroup(a, b, mid, layer) for a, b in spans(scenario.split.boundaries)]
                found.append((global_rank, groups))
    return found


def _single_group_forms(
    scenarios: Mapping[int, Sequence[Scenario]], layers: int, budget: Budget
) -> set[tuple[int, ...]]:
    """Ranks of the pyramids of one group, those of levels that span the same layers in falling order."""
    forms = set()
    alike = 3 if layers == 1 else 2
    for global_rank, options in scenarios.items():
        for scenario in options:
            budget.spend(10 * len(scenario.pairs))
            for mid, layer in _with_runs(scenario.pairs):
                (group,) = canonical_groups([DepthGroup(0, layers, mid, layer)])
                if (global_rank or mid or layer) and scenario.total([group]) is not None:
                    ranks = (global_rank, group.mid_rank, group.layer_rank)
                    forms.add((*sorted(ranks[:alike], reverse=True), *ranks[alike:]))
    return forms


@dataclass
class _Depth:
    """Counts canonical sequences of at least two groups over the depth, those of one global rank."""

    scenarios: Sequence[Scenario]
    layers: int
    budget: Budget
    steps: dict[tuple[State, int], Counter[State]] = field(default_factory=dict)

    def count(self) -> int:
        start: State = None, tuple((i, (0, 0)) for i in range(len(self.scenarios)))
        free = [s.split.alike_from for s in self.scenarios if isinstance(s.split, FreeSplits)]
        return self._free(start, max(free)) if free else self._fixed(start)

    def _free(self, start: State, alike_from: int) -> int:
        """Where a group may begin and end anywhere, and all groups of `alike_from` layers or more are alike."""
        reached: list[Counter[State]] = [Counter({start: 1})]
        before: Counter[State] = Counter()
        """How many ways lead to each state `alike_from` layers or more below."""
        for stop in range(1, self.layers + 1):
            if stop >= alike_from:
                before.update(reached[stop - alike_from])
            lengths = range(1, min(alike_from, stop + 1))
            entering = [(length, reached[stop - length]) for length in lengths] + [(alike_from, before)]
            following: Counter[State] = Counter()
            for length, states in entering:
                for state, ways in states.items():
                    if state is start and stop == self.layers:
                        continue  # a single group: counted with its global rank
                    for after, forms in self._step(state, length).items():
                        following[after] += ways * forms
            reached.append(following)
        return self._closing(reached[self.layers])

    def _step(self, state: State, length: int) -> Counter[State]:
        if (state, length) not in self.steps:
            self.steps[state, length] = self._append_group(state, 0, length)
        following = self.steps[state, length]
        self.budget.spend(len(state[1]) + len(following))
        return following

    def _fixed(self, start: State) -> int:
        """Where groups end at given boundaries."""
        splits = {s.split for s in self.scenarios if isinstance(s.split, FixedSplit)}
        ends = sorted({end for split in splits for end in split.boundaries})
        reached: defaultdict[int, Counter[State]] = defaultdict(Counter, {0: Counter({start: 1})})
        for i, begin in enumerate(ends):
            for state, ways in reached[begin].items():
                for stop in ends[i + 1 :]:
                    if stop - begin == self.layers:
                        continue  # a single group: counted with its global rank
                    for after, forms in self._append_group(state, begin, stop).items():
                        reached[stop][after] += ways * forms
        return self._closing(reached[self.layers])

    def _closing(self, reached: Counter[State]) -> int:
        return sum(
            ways
            for (_, survivors), ways in reached.items()
            if any(self.scenarios[i].split.closes(total) for i, total in survivors)
        )

    def _append_group(self, state: State, start: int, stop: int) -> Counter[State]:
        """The states after each canonical group that may follow, with the number of groups that lead there."""
        last_run, survivors = state
        able: defaultdict[RankPair, dict[int, Interval]] = defaultdict(dict)
        for i, total in survivors:
            self.budget.spend(2 * len(self.scenarios[i].pairs))
            for mid, layer in self.scenarios[i].pairs:
                able[mid, layer][i] = able[layer, mid][i] = total
        pairs = _with_runs({pair for i, _ in survivors for pair in self.scenarios[i].pairs})
        after: Counter[State] = Counter()
        for group in {canonical_groups([DepthGroup(start, stop, *pair)])[0] for pair in pairs}:
            run = None if group.mid_rank else group.layer_rank
            left = self._survive(able[group.mid_rank, group.layer_rank], group)
            if left and (run is None or run != last_run):
                after[run, left] += 1
        return after

    def _survive(self, able: Mapping[int, Interval], group: DepthGroup) -> Survivors:
        self.budget.spend(10 * len(able))
        extended = [(i, self.scenarios[i].extend(able[i], group)) for i in sorted(able)]
        return tuple(
            (i, total) for i, total in extended if total is not None and self.scenarios[i].split.may_close(total)
        )


def _with_runs(pairs: Iterable[RankPair]) -> set[RankPair]:
    """`pairs` and what a run of one-layer groups with one of them becomes."""
    return {*pairs, *((0, mid) for mid, layer in pairs if layer == 0)}
