"""Demo data of questions: with choices, with passages, and made ones."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from string import ascii_uppercase

Rows = list[dict[str, object]]
MADE, SEED = 4000, 17
"""How many questions are made, and what they are drawn by."""
PEOPLE = (
    "Anna Berg", "Omar Haddad", "Lena Novak", "Peter Lind", "Maria Costa", "Jonas Weber", "Ines Duarte",
    "Karl Strand", "Yuki Mori", "Sara Holm", "Tomas Vega", "Ruth Adler", "Ivan Petrov", "Clara Dunn", "Hugo Marsh",
    "Nadia Rahman",
)  # fmt: skip
TOWNS = ("Oslo", "Porto", "Leeds", "Graz", "Turku", "Ghent", "Lyon", "Bergen", "Split", "Cork", "Basel", "Malmo")
THINGS = ("lamps", "chairs", "bicycles", "clocks", "carpets", "mirrors", "kettles", "paintings", "drums", "coats")
COLOURS = ("red", "blue", "green", "white", "black", "yellow", "brown", "grey")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "eleven", "twelve", "twenty", "thirty")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WITHOUT_ANSWER = 0.2
"""The share of made questions about somebody who is not in the notice."""


def with_options(rows: Iterable[Mapping[str, object]]) -> Rows:
    """Questions whose options stand in lines such as `A. a bank`, one of which is the answer.

    Lists of choices, and the letter of the right one. Without those whose answer is no option of theirs, or whose
    options are not lettered in order.
    """
    found: Rows = []
    for row in rows:
        options = [line.strip() for line in str(row["options"]).strip().splitlines()]
        answer = str(row["answer"]).strip()
        lettered = all(
            line.startswith(f"{letter}. ") for letter, line in zip(ascii_uppercase, options, strict=False)
        )
        if answer in options and lettered:
            asked = {name: str(row[name]).strip() for name in ("passage", "question") if name in row}
            found.append({**asked, "choices": [line[3:].strip() for line in options], "label": answer[0]})
    return found


def with_passages(rows: Iterable[Mapping[str, object]], without: str) -> Rows:
    """Questions, their passages, and answers as SQuAD has them; the answer `without` stands for none.

    Where an answer stands is found without regard to spaces and case; where it stands several times, first.
    """
    found: Rows = []
    for row in rows:
        passage, answer = str(row["passage"]).strip(), str(row["answer"])
        span = None if answer == without else _place(passage, answer)
        texts = [] if span is None else [passage[span[0] : span[1]]]
        answers = {"text": texts, "answer_start": [] if span is None else [span[0]]}
        found.append({"question": str(row["question"]).strip(), "context": passage, "answers": answers})
    return found


def notices() -> Rows:
    """4,000 made questions about made notices of who sold what to whom; a fifth has no answer.

    A notice has two to five sentences of one form with other names, so what is asked about finds it.
    """
    draw = random.Random(SEED)
    return [_notice(draw) for _ in range(MADE)]


def _place(passage: str, answer: str) -> tuple[int, int]:
    kept = [place for place, letter in enumerate(passage) if not letter.isspace()]
    plain = "".join(passage[place].lower()[:1] for place in kept)
    wanted = "".join(letter.lower()[:1] for letter in answer if not letter.isspace())
    start = plain.index(wanted)
    return kept[start], kept[start + len(wanted) - 1] + 1


def _notice(draw: random.Random) -> dict[str, object]:
    count = draw.randint(2, 5)
    people = draw.sample(PEOPLE, count + 1)
    things = draw.sample([f"{colour} {thing}" for colour in COLOURS for thing in THINGS], count + 1)
    sentences, facts = [], []
    for person, thing in zip(people[:count], things, strict=False):
        town, number, buyer, day = draw.choice(TOWNS), draw.choice(NUMBERS), draw.choice(TOWNS), draw.choice(DAYS)
        sentences.append(f"{person} of {town} sold {number} {thing} to a shop in {buyer} on {day}.")
        facts.append(
            (person, thing, {"seller": person, "home": town, "number": number, "shop": buyer, "day": day})
        )
    place = draw.randrange(count)
    person, thing, fact = facts[place]
    asked = draw.choice(list(fact))
    there = draw.random() >= WITHOUT_ANSWER
    if not there:
        person, thing = people[count], things[count]
    question = {
        "seller": f"Who sold the {thing}?",
        "home": f"Where is {person} from?",
        "number": f"How many {thing} were sold?",
        "shop": f"Where did {person} sell the {thing}?",
        "day": f"On which day did {person} sell something?",
    }[asked]
    context = " ".join(sentences)
    inside = sentences[place].index({"shop": "in ", "day": "on "}.get(asked, "") + fact[asked])
    start = len(" ".join([*sentences[:place], ""])) + inside + (3 if asked in ("shop", "day") else 0)
    answers = {"text": [fact[asked]], "answer_start": [start]} if there else {"text": [], "answer_start": []}
    return {"question": question, "context": context, "answers": answers}
