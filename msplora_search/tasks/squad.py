"""How near a text is to the right answers: exact match and F1 of words, as SQuAD counts them.

Rajpurkar et al., SQuAD (2016), section 6.1, and for questions without an answer Know What You Don't Know (2018),
section 5: such a question is answered rightly by the empty text alone.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(text: str) -> list[str]:
    """The words that count: in lower case, without ASCII punctuation, and then without a, an and the."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def exact_match(found: str, right: str) -> float:
    """1 where both have the same words in the same order, else 0."""
    return float(words_of(found) == words_of(right))


def word_f1(found: str, right: str) -> float:
    """Of the words of both, each counted as often as it occurs; where one has none, 1 if both do."""
    ours, theirs = words_of(found), words_of(right)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = (Counter(ours) & Counter(theirs)).total()
    return 2 * shared / (len(ours) + len(theirs))


def best(score: Callable[[str, str], float], found: str, answers: Sequence[str]) -> float:
    """The score with that of several right answers it is best with; without any, with the empty text."""
    return max(score(found, right) for right in answers or ("",))
