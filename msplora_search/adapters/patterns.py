"""Matches the patterns of foreign adapters against module names in bounded time.

PEFT takes some fields of `adapter_config.json` for regular expressions, and Python's own matching goes back and
tries anew: `(a+)+$` takes time exponential in a name. Here all ways through a pattern are followed at once, letter
by letter (Thompson, Regular expression search algorithm, 1968). That takes at most the product of both lengths;
and all matching for one file has a budget.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msplora_search.errors import InputError
from msplora_search.text import shown

MOST_STATES = 2_000
"""Of one pattern; an ordinary one has some dozens."""
MOST_STEPS = 1_000_000
"""Of all matching for one file: about a second."""
MOST_LENGTH = 2_000
"""Letters of a pattern."""
PARSER: Any = importlib.import_module("re._parser")
"""Python's own parser of patterns, so that they mean what they mean to PEFT."""
Fits = Callable[[str], bool]
BOUNDARIES: dict[str, Callable[[str, int], bool]] = {
    "AT_BEGINNING": lambda text, i: i == 0,
    "AT_BEGINNING_STRING": lambda text, i: i == 0,
    "AT_END": lambda text, i: i == len(text) or (i == len(text) - 1 and text[i] == "\n"),
    "AT_END_STRING": lambda text, i: i == len(text),
    "AT_BOUNDARY": lambda text, i: re.compile(r"\b").match(text, i) is not None,
    "AT_NON_BOUNDARY": lambda text, i: re.compile(r"\b").match(text, i) is None,
}
CATEGORIES = {
    "DIGIT": r"\d",
    "SPACE": r"\s",
    "WORD": r"\w",
    "NOT_DIGIT": r"\D",
    "NOT_SPACE": r"\S",
    "NOT_WORD": r"\W",
}


class _UnusableError(Exception):
    """Says why a pattern is not taken."""


@dataclass
class Budget:
    """Steps that matching for one file may take yet."""

    left: int = MOST_STEPS

    def spend(self) -> None:
        """One of them. Raises _UnusableError where none is left."""
        self.left -= 1
        if self.left < 0:
            raise _UnusableError("is too involved to be matched with the names of all modules")


@dataclass(frozen=True)
class Plain:
    """A pattern without repeats, forks or groups, which Python itself matches fast."""

    compiled: re.Pattern[str]

    def matches(self, text: str, budget: Budget) -> bool:
        """As that of `Pattern`."""
        budget.spend()
        return self.compiled.match(text) is not None


@dataclass
class Pattern:
    """A regular expression as a list of states, each of which reads a letter, forks, or asks where it stands."""

    reads: list[Fits | None] = field(default_factory=list)
    asks: list[str | None] = field(default_factory=list)
    then: list[list[int]] = field(default_factory=list)

    def matches(self, text: str, budget: Budget) -> bool:
        """Whether `text` begins with what the pattern says, as `re.match`. Raises _UnusableError over budget."""
        here = self._reached([0], text, 0, budget)
        for i, letter in enumerate(text):
            if len(self.reads) - 1 in here or not here:
                break
            after = [self.then[s][0] for s in here if (fits := self.reads[s]) and fits(letter)]
            here = self._reached(after, text, i + 1, budget)
        return len(self.reads) - 1 in here

    def _reached(self, starts: Iterable[int], text: str, i: int, budget: Budget) -> set[int]:
        """All states that can be reached without reading a letter."""
        found, open_states = set[int](), list(starts)
        while open_states:
            state = open_states.pop()
            if state in found:
                continue
            budget.spend()
            found.add(state)
            asked = self.asks[state]
            if self.reads[state] is None and (asked is None or BOUNDARIES[asked](text, i)):
                open_states += self.then[state]
        return found

    def add(self, reads: Fits | None = None, asks: str | None = None, then: Sequence[int] = ()) -> int:
        """A further state; without `then` it leads to the next one."""
        if len(self.reads) >= MOST_STATES:
            raise _UnusableError("is too long")
        self.reads.append(reads)
        self.asks.append(asks)
        self.then.append(list(then) or [len(self.reads)])
        return len(self.reads) - 1

    def append(self, parsed: Any) -> None:
        """Add the states of what Python's parser found."""
        for operation, argument in parsed:
            self._append(str(operation), argument)

    def _append(self, operation: str, argument: Any) -> None:
        match operation:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                self.add(reads=_letters(operation, argument))
            case "AT" if str(argument) in BOUNDARIES:
                self.add(asks=str(argument))
            case "SUBPATTERN" if not argument[1] and not argument[2]:
                self.append(argument[3])
            case "BRANCH":
                self._branch(argument[1])
            case "MAX_REPEAT" | "MIN_REPEAT":  # which is tried first makes no difference to whether one matches
                self._repeat(*argument)
            case _:
                what = operation.lower().replace("_", " ")
                raise _UnusableError(f"has a construct that is not taken here ({what})")

    def _branch(self, ways: Sequence[Any]) -> None:
        fork, ends = self.add(), []
        self.then[fork] = []
        for way in ways:
            self.then[fork].append(len(self.reads))
            self.append(way)
            ends.append(self.add())
        for end in ends:
            self.then[end] = [len(self.reads)]

    def _repeat(self, least: int, most: Any, parsed: Any) -> None:
        if least > MOST_STATES:
            raise _UnusableError("is too long")
        for _ in range(least):
            self.append(parsed)
        if str(most) == "MAXREPEAT":
            fork = self.add()
            self.append(parsed)
            self.add(then=[fork])
            self.then[fork].append(len(self.reads))
            return
        forks = []
        for _ in range(int(most) - least):
            forks.append(self.add())
            self.append(parsed)
        for fork in forks:
            self.then[fork].append(len(self.reads))


def _letters(operation: str, argument: Any) -> Fits:
    if operation == "ANY":
        return lambda letter: letter != "\n"
    if operation != "IN":
        return lambda letter: (ord(letter) == argument) == (operation == "LITERAL")
    turned = str(argument[0][0]) == "NEGATE"
    tests = [_test(str(kind), value) for kind, value in argument[1 if turned else 0 :]]
    return lambda letter: any(test(letter) for test in tests) != turned


def _test(kind: str, value: Any) -> Fits:
    if kind == "LITERAL":
        return lambda letter: ord(letter) == value
    if kind == "RANGE":
        return lambda letter: value[0] <= ord(letter) <= value[1]
    category = re.compile(CATEGORIES[str(value).removeprefix("CATEGORY_")])
    return lambda letter: category.match(letter) is not None


def compiled(key: str) -> Pattern | Plain:
    """A key of a pattern as PEFT reads it: it matches a whole name, or its end after a dot.

    Raises _UnusableError for what is no regular expression, or a kind of it that is not taken.
    """
    if len(key) > MOST_LENGTH:
        raise _UnusableError("is too long")
    whole = rf"(.*\.)?({key})$"
    if re.fullmatch(r"(?:[\w.-]|\\\.)*", key):
        return Plain(re.compile(whole))
    made = Pattern()
    try:
        parsed = PARSER.parse(whole)
        if parsed.state.flags != re.UNICODE.value:
            raise _UnusableError("has flags, which are not taken here")
        made.append(parsed)
        made.then[made.add()] = []
    except (re.error, RecursionError, OverflowError) as error:
        said = str(error) if isinstance(error, re.error) else "nested too deep"
        raise _UnusableError(f"is no regular expression ({said})") from None
    return made


class Names:
    """Numbers by patterns of module names, such as `alpha_pattern`, as PEFT reads them."""

    def __init__(self, patterns: Iterable[str], said: str) -> None:
        """`said`: file and field, for messages. Raises InputError for a pattern that is not taken."""
        self.said, self.budget = said, Budget()
        self.patterns = [(key, self._compiled(key)) for key in patterns]

    def first(self, path: str) -> str | None:
        """The first pattern that matches the whole of `path`, or its end after a dot; None for none.

        Raises InputError where that takes too long.
        """
        for key, pattern in self.patterns:
            try:
                if pattern.matches(path, self.budget):
                    return key
            except _UnusableError as error:
                raise InputError(f"{self.said}: {shown(key)} {error}") from None
        return None

    def _compiled(self, key: str) -> Pattern | Plain:
        try:
            return compiled(key)
        except _UnusableError as error:
            raise InputError(f"{self.said}: {shown(key)} {error}") from None
