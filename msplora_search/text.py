"""Text from data, models and file names, as it may be shown: nothing in it acts on whoever shows it."""

from __future__ import annotations

import codecs
import math
import re
import unicodedata

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of control, formatting (such as writing direction) and surrogate characters, and of
line and paragraph breaks."""
NO_XML = "\ufffe\uffff"
"""Characters, no letters of any script, with which a picture or a page would be none that programs read."""
JOINER = "\u200d"
"""Formatting that many scripts and emoji need."""
ACTIVE = re.compile(r"[\\`*_\[\]<>|&~$!@#]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What means something in Markdown wherever it stands; addresses become links there without any brackets."""
AT_THE_BEGINNING = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[-+=]))")
"""After this a line of Markdown begins a list or ends a heading."""
LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "{''}", "[": "{[}", "]": "{]}", "-": "{-}",
    "'": "{'}", "`": "{`}", "*": "{*}", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip
"""How LaTeX is told each character that means something in it, alone or beside its like, or first in a row."""
SIGNS = {
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\varepsilon$", "η": r"$\eta$",  # noqa: RUF001
    "θ": r"$\theta$", "λ": r"$\lambda$", "μ": r"$\mu$", "ρ": r"$\rho$", "σ": r"$\sigma$", "τ": r"$\tau$",  # noqa: RUF001
    "ω": r"$\omega$", "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "Ω": r"$\Omega$", "≤": r"$\leq$", "≥": r"$\geq$",
    "≠": r"$\neq$", "≈": r"$\approx$", "∞": r"$\infty$", "\u2212": "$-$", "\u2011": "{-}", "\u2009": r"\,",
    "\u202f": r"\,",
}  # fmt: skip
"""What pdfLaTeX lacks as letters and has as formulas."""
NO_PDF_LATEX = re.compile(
    "[\u0126\u0127\u0138\u013f\u0140\u0149\u0166\u0167\u017f]|"
    "[^\n -~\u00a0-\u017f\u0218-\u021b\u2013\u2014\u2018-\u201a"
    "\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2116\u2122\u2190-\u2193]"
)
"""What pdfLaTeX has as no letter either: all but Latin letters with their accents, and common signs."""
ALIKE = {"±": "+-", "…": "..."}
"""For outputs that cannot take a character: what says the same."""
UNWRITABLE = "msplora_search_written_out"
"""How streams handle what their encoding lacks, as a name for `errors=`."""


def printable(text: str) -> str:
    r"""One line without control characters: an escape sequence shows as `\x1b[31m`, a line break as `\n`."""
    return "".join(_written_out(c) if _is_invisible(c) else c for c in text)


def _is_invisible(character: str) -> bool:
    return character in NO_XML or (unicodedata.category(character) in INVISIBLE and character != JOINER)


def shown(value: object, most: int = 80) -> str:
    """A value as an error message shows it: its `repr` in one line, cut in the middle where it is long."""
    cut = value[: 4 * most] if isinstance(value, str | bytes | list | tuple) else value  # 100 MB take a while
    try:
        return brief(repr(cut), most)
    except ValueError:  # Python writes out no integer of more than some thousands of digits
        return "a number of thousands of digits"


def brief(text: str, most: int = 80) -> str:
    """A name or other text without quotes as an error message shows it: one line, cut in the middle."""
    ends = text if len(text) <= 4 * most else text[: 2 * most] + text[-2 * most :]  # 100 MB take a while
    line, half = printable(ends), (most - 3) // 2
    return line if len(line) <= most else f"{line[:half]}...{line[-half:]}"


def amount(value: float, bounds: tuple[float, float]) -> str:
    """How much of a metric with these bounds: `1.7 points`, which are hundredths; of an unbounded one `0.031`."""
    if math.isinf(bounds[0]) or math.isinf(bounds[1]):
        return f"{value:.3f}"
    return f"{100 * value:.1f} points"


def amounts(low: float, high: float, bounds: tuple[float, float]) -> str:
    """Two of them, with one unit: `0.2 to 1.7 points`."""
    return f"{amount(low, bounds).removesuffix(' points')} to {amount(high, bounds)}"


def several(count: int, noun: str) -> str:
    """`1 repeat`, `2 repeats`, `1,000 repeats`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(value: float, bounds: tuple[float, float]) -> str:
    """`amount` with its sign and without its unit: `+1.7`; what is rounded to nothing is `+0.0`."""
    if math.isinf(bounds[0]) or math.isinf(bounds[1]):
        return f"{round(value, 3) + 0.0:+.3f}"
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def times(ratio: float) -> str:
    """A ratio in two or three digits: `0.45`, `1.3`, `120`."""
    return f"{ratio:.2g}" if ratio < 1 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def markdown(text: str) -> str:
    """Foreign text within a line of Markdown: it is read as it stands, and makes no link, picture, tag or cell."""
    return AT_THE_BEGINNING.sub(r"\1\\", ACTIVE.sub(r"\\\g<0>", printable(text).strip()))


def code(text: str) -> str:
    """Foreign text as a span of code in Markdown, whatever backticks it holds."""
    line = printable(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    space = " " if line.strip(" ") and (line[0] in " `" or line[-1] in " `") else ""
    return f"{fence}{space}{line}{space}{fence}"


def spreadsheet(text: str) -> str:
    """Foreign text as a cell: one line; with an apostrophe before it where a spreadsheet would see a formula."""
    line = printable(text)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def latex(text: str) -> str:
    """Foreign text within a line of LaTeX: it is read as it stands; no command, comment or cell begins in it."""
    return "".join(LATEX.get(c) or SIGNS.get(c, c) for c in printable(text).strip())


def beyond_pdflatex(text: str) -> list[str]:
    """The characters of what `latex` gave that pdfLaTeX cannot set with its T1 fonts, each once."""
    return list(dict.fromkeys(NO_PDF_LATEX.findall(text)))


def fitting(text: str, encoding: str) -> str:
    r"""The text for an output of that encoding: `±` as `+-` where it lacks it, others as `\xe9`."""
    return text.encode(encoding, UNWRITABLE).decode(encoding)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ALIKE.get(c) or _written_out(c) for c in error.object[error.start : error.end]), error.end


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


codecs.register_error(UNWRITABLE, _replace)
