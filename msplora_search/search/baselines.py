"""The settings that every front is compared with: the paper's pyramid and a ladder of plain LoRA."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.settings.models import LoraLadder, PaperRank, SearchSettings

PAPERS = {"query", "value"}
"""The targets of the paper, by role."""
AT = "@"
"""Before the word for the targets of a ladder, in the names of all but the first."""
LONGEST = 24
"""Characters of such a word; a longer list of targets is its first and the number of the others."""


@dataclass(frozen=True)
class Baseline:
    """One baseline at one learning rate."""

    name: str
    """`paper`, `lora-RANK`, or of targets other than the first choice `lora-RANK@WORD`; see `words_for`."""
    pyramid: Pyramid
    learning_rate: float


def planned_baselines(
    space: SearchSpace, search: SearchSettings, asked: Sequence[Sequence[str]] | None = None
) -> list[Baseline]:
    """Every baseline at every rate it is given, each configuration once; LoRA from the lowest rank.

    All have the scaling of the space and its first alpha. The paper's pyramid has the paper's targets, query and
    value, where they are a choice, else the first; plain LoRA has a ladder for each. `asked`: the choices as the
    space file names them, roles and all, where the space has the names of a model's modules.
    """
    alpha, scaling, thirds = space.alpha[0], space.scaling, min(3, space.most_groups or space.layers)
    words = words_for(space.targets if asked is None else asked)
    papers = _papers_targets(space.targets, asked)
    ladders = list(zip(space.targets, ["", *(AT + word for word in words[1:])], strict=True))
    named: dict[Pyramid, str] = {}
    for baseline in search.baselines:
        match baseline:
            case PaperRank(paper=rank):
                pyramid = Pyramid.geometric(rank, space.layers, thirds, papers, alpha, scaling)
                named.setdefault(pyramid, "paper")
            case LoraLadder(lora=ranks):
                for targets, where in ladders:
                    for rank in sorted(set(ranks)):
                        pyramid = Pyramid.lora(rank, space.layers, targets, alpha, scaling)
                        named.setdefault(pyramid, f"lora-{rank}{where}")
    return [Baseline(name, p, rate) for p, name in named.items() for rate in baseline_rates(space)]


def _papers_targets(targets: Sequence[Sequence[str]], asked: Sequence[Sequence[str]] | None) -> Sequence[str]:
    """Query and value, whatever a model calls them; the first choice where they are none."""
    names = targets if asked is None else asked
    return next((own for own, name in zip(targets, names, strict=True) if set(name) == PAPERS), targets[0])


def words_for(choices: Sequence[Sequence[str]]) -> list[str]:
    """A short word for each choice of targets, no two alike: `query+value`, or `q_proj+6` for a list of seven."""
    words = [word_of(targets) for targets in choices]
    alike = Counter(words)
    return [word if alike[word] == 1 else f"targets-{place}" for place, word in enumerate(words, start=1)]


def word_of(targets: Sequence[str]) -> str:
    """The word of one choice where no other has the same."""
    whole = "+".join(targets)
    return whole if len(whole) <= LONGEST or len(targets) == 1 else f"{targets[0]}+{len(targets) - 1}"


def word_for(targets: Sequence[str], known: Mapping[str, Sequence[str]]) -> str:
    """The word of `known` that stands for these targets, such as all-linear; of `word_of` where none does."""
    return next((word for word, of in known.items() if set(of) == set(targets)), word_of(targets))


def ladders_sentence(baselines: Sequence[Baseline]) -> tuple[str, ...]:
    """What a search is told of the ladders before it begins; nothing where there is one, or none."""
    words = dict.fromkeys(b.name.partition(AT)[2] for b in baselines if b.name != "paper")
    if len(words) < 2:
        return ()
    return (f"plain LoRA is trained on each of the {len(words)} choices of targets, as baselines of their own",)


def baseline_rates(space: SearchSpace) -> tuple[float, ...]:
    """Up to three learning rates across the range; a baseline's best counts, as a proposal's does."""
    match space.learning_rate:
        case LogRange(low, high, log):
            return low, math.sqrt(low * high) if log else (low + high) / 2, high
        case choices:
            middle = choices[len(choices) // 2]
            return tuple(dict.fromkeys((choices[0], middle, choices[-1])))
