"""A report's Markdown as a page of HTML that shows its own pictures, and asks for nothing else."""

from __future__ import annotations

import html

from markdown_it import MarkdownIt

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums }}
th, td {{ border-bottom: 1px solid #ddd; padding: 0.3rem 0.7rem; text-align: right }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left }}
img {{ max-width: 100% }} code {{ background: #f4f4f4; padding: 0 0.2rem }}
</style></head><body>
{body}
</body></html>
"""
POLICY = "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; base-uri 'none'"
"""Should anything foreign have found its way in: no browser fetches it. `file:` is a page opened from a disk."""


def page(title: str, text: str, pictures: tuple[str, ...]) -> str:
    """The page of a Markdown `text` with its `pictures`, as the text names them; no tag, link or other picture."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    parser.validateLink = lambda url: url in pictures  # type: ignore[method-assign]
    return PAGE.format(policy=POLICY, title=html.escape(title), body=parser.render(text))
