"""The report as one page that needs no other file and no network: text, data, figures and scripts in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from msplora_search.reporting.deciding import deciding_words
from msplora_search.reporting.html.figures import figures
from msplora_search.reporting.html.live import Live
from msplora_search.reporting.wording import against_lora, comparisons, cost_sentence, metric_words, verdict
from msplora_search.search.summary import Summary
from msplora_search.text import printable

SCRIPTS = ("base", "plots", "pyramid", "panel", "table", "main")
"""In the order in which they are read."""
FOLLOWING = "live"
"""The script of a page that is served, after the others."""
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
"""Should anything foreign have found its way in: no script but ours runs, and no browser fetches anything. Plotly
sets styles within the page, which have no way out of it either."""
ASKING = "; connect-src 'self'"
"""What a page that is served may do beyond it."""
NO_ICON = '<link rel="icon" href="data:,">\n'
"""So that no browser asks a server for one."""
IN_JSON = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def page(summary: Summary, data: dict[str, Any], report: str, live: Live | None = None) -> str:
    """The page of `page_data`; `report` is the HTML of the whole report; `live`: of a page that is served."""
    from plotly.offline import get_plotlyjs

    plotly, script = inline(get_plotlyjs()), inline(own_script(live is not None))
    policy = POLICY.format(scripts=" ".join(source_hash(text) for text in (plotly, script)))
    policy += ASKING if live else ""
    task = summary.results.settings.task
    about = (
        f"Model {summary.results.settings.model} ({summary.results.facts['layers']} layers), data "
        f"{task.dataset.path}, metric {metric_words(summary)}."
    )
    versions = ", ".join(f"{name} {of}" for name, of in data["versions"].items())
    return Template(_read("page.html")).substitute(
        policy=html.escape(policy, quote=True).replace("&#x27;", "'"),
        title=_text(summary.results.settings.name),
        icon=NO_ICON if live else "",
        live=_live(live) if live else "",
        style=_read("page.css"),
        about=_text(about),
        answer=_answer(summary),
        metric=_text(task.metric_label),
        decides=_text(" ".join(deciding_words(summary))),
        cost=_text(cost_sentence(summary)),
        axis=_text(summary.cost_is.axis),
        unit=_text(summary.cost_is.unit),
        report=report,
        settings=html.escape(data["settings"]),
        versions=f"Versions: {_text(versions)}.",
        data=in_json({"page": data, "figures": figures(data)}),
        plotly=plotly,
        script=script,
    )


def waiting_page(live: Live, seconds: int) -> str:
    """What is served before there is a report; it is fetched again every so many seconds."""
    again = "" if live.last else f'<meta http-equiv="refresh" content="{seconds}">\n'
    return Template(_read("waiting.html")).substitute(
        again=again, icon=NO_ICON, style=_read("page.css"), state=_text(live.state)
    )


def in_json(data: Any) -> str:
    """JSON as it may stand in a page: nothing in it ends its element or begins another."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in IN_JSON.items():
        text = text.replace(character, escape)
    return text


def own_script(live: bool = False) -> str:
    """The page's own script: its files within one function, so that no name of theirs is global."""
    names = (*SCRIPTS, FOLLOWING) if live else SCRIPTS
    return "(() => {\n'use strict';\n" + "\n".join(_read(f"script/{name}.js") for name in names) + "})();\n"


def inline(script: str) -> str:
    """A script as it may stand in a page: nothing in it ends its element; line ends are as browsers read them."""
    lines = script.replace("\r\n", "\n").replace("\r", "\n")
    return lines.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def source_hash(script: str) -> str:
    """How a Content-Security-Policy names a script that may run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _answer(summary: Summary) -> str:
    """What to take first, then what it is compared with, a paragraph each."""
    others: Sequence[str] = [*against_lora(summary), *comparisons(summary)]
    said = "\n".join(f"<p>{_text(line)}</p>" for line in others)
    return f'<p class="verdict">{_text(verdict(summary))}</p>\n<div class="others">\n{said}\n</div>'


def _live(live: Live) -> str:
    told = in_json({"version": live.version, "last": live.last})
    return (
        f'<p id="state" role="status">{_text(live.state)}</p>\n'
        f'<script type="application/json" id="live">{told}</script>\n'
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _read(name: str) -> str:
    return files("msplora_search.reporting.html").joinpath(name).read_text(encoding="utf-8")
