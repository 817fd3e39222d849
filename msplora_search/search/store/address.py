"""The addresses of databases: built for Optuna, and shown without the passwords in them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import sqlalchemy
from sqlalchemy.engine import URL, make_url

from msplora_search.errors import InputError
from msplora_search.text import printable

DATABASE = "study.db"
HIDDEN = "***"
SECRET_FIELD = re.compile(r"[^=?&;\s]*(?:pass|pwd|secret|token|credential|key)[^=?&;\s]*\s*=\s*", re.IGNORECASE)
SCHEME = re.compile(r"(?P<name>[A-Za-z][\w+.-]*):(?P<slashes>/+)")
NO_PORT = re.compile(r":(?!\d*(?:[/?]|$))")
SHORT = 4
"""A secret of fewer characters stands in many words by chance: a text that has it is not shown at all."""


def default_url(output: Path) -> str:
    """SQLite under the output folder, whatever characters its path has.

    Raises InputError for a name that is no text, or none in the encoding that this process has for file names.
    """
    try:
        return URL.create("sqlite", database=str(output / DATABASE)).render_as_string(hide_password=False)
    except UnicodeEncodeError:
        what = f"its name is no text in {sys.getfilesystemencoding()}; name another folder"
        mend = "" if sys.flags.utf8_mode else ", or set PYTHONUTF8=1 where it is UTF-8"
        raise InputError(f"--output {printable(str(output))}: {what}{mend}") from None


def for_optuna(url: str) -> str:
    """The address as Optuna takes it, which fills in what stands in braces."""
    return url.replace("{", "{{").replace("}", "}}")


def file_of(url: str) -> Path | None:
    """The file behind an SQLite address; None for another database."""
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.SQLAlchemyError, ValueError):
        return None
    named = parsed.database if parsed.drivername.startswith("sqlite") else None
    return Path(named) if named and named != ":memory:" and not named.startswith("file:") else None


def hide_password(url: str) -> str:
    """The address as it may be printed: also of one that is mistyped, or has its password among the options."""
    shown, spans = url, sorted(_secret_spans(url), reverse=True)
    for begin, end in spans:
        shown = shown[:begin] + HIDDEN + shown[end:]
    return printable(shown)


def redact(text: str, url: str) -> str:
    """What a database said, without the passwords of its address; empty where a very short one stands in it."""
    secrets = {form for secret in _secrets(url) for form in _forms(secret)}
    if any(len(secret) < SHORT and secret in text for secret in secrets):
        return ""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def require_clear(url: str) -> None:
    """Raise InputError where a password in the address would be read as something else, and shown as such."""
    try:
        password = make_url(url).password
    except (sqlalchemy.exc.SQLAlchemyError, ValueError):
        password = None
    written = [url[begin:end] for begin, end in _login_span(url)]
    if written and str(password) != unquote(written[0]):
        raise InputError(
            f"--storage {hide_password(url)}: cannot be read; it must have the form "
            "postgresql://user:password@host/name, with @ : / ? # and % in the password written as "
            "%40 %3A %2F %3F %23 and %25"
        )


def _secret_spans(url: str) -> list[tuple[int, int]]:
    """Where secrets stand, none within another: after a user's name, and from an option of such a name on."""
    options = [(found.end(), len(url)) for found in list(SECRET_FIELD.finditer(url))[:1]]
    login = _login_span(url)
    if options and login and login[0][1] > options[0][0]:  # one reaches into the other
        return [(min(options[0][0], login[0][0]), len(url))]
    return [span for span in (*login, *options) if span[0] < span[1]]


def _login_span(url: str) -> list[tuple[int, int]]:
    """The password before the last @; without an @, whatever follows a colon and is no port."""
    scheme = SCHEME.match(url)
    begin = scheme.end() if scheme else 0
    if scheme and scheme["name"].startswith("sqlite") and scheme["slashes"].startswith("///"):
        return []  # a path
    colon, at = url.find(":", begin), url.rfind("@")
    if 0 <= colon < at:
        return [(colon + 1, at)]
    no_port = NO_PORT.search(url, begin) if at < 0 and not url.startswith("[", begin) else None
    return [(no_port.end(), len(url))] if no_port else []


def _secrets(url: str) -> list[str]:
    found = [url[begin:end] for begin, end in _secret_spans(url)]
    return [*found, *(part for text in found for part in re.split(r"[&;\s]", text) if part)]


def _forms(secret: str) -> set[str]:
    """The ways in which a program may write a secret."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    written = {form for text in plain for form in (quote(text, safe=""), quote_plus(text), repr(text)[1:-1])}
    return {form for form in plain | written if form}
