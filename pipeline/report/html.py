"""A notebook that was run as one HTML file: no script, no font, no picture from anywhere, charts as SVG inside.

Code is left out: the report says what was found, the .ipynb beside it how. The file's own policy forbids a browser to
ask anybody for anything, whatever somebody wrote into a site's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pipeline.errors import WorkbenchError
from pipeline.report.percent import Cell
from pipeline.report.running import HTML, MARKDOWN, VEGA_LITE, Output, Ran

WIDTH = 760  # pixels of a chart, and of the text
MISSING = (
    "A report as HTML needs vl-convert-python, which draws the charts (30 MB, so it is optional): run `make report` "
    "where the workbench was checked out, or install 'betterstack-workbench[report]'. "
    "The notebook, --format ipynb, needs nothing."
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #1d2330; font: 15px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 800px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 8px; border-top: 1px solid #dfe3ea; padding-top: 20px; }
p { margin: 8px 0 12px; } li { margin: 3px 0; }
.figure { overflow-x: auto; margin: 12px 0 18px; } .figure svg { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; margin: 10px 0 18px; width: 100%; }
table { font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: #5a6473; border-bottom: 1px solid #c8ced9; padding: 5px 12px 5px 0; }
td { border-bottom: 1px solid #e8ebf0; padding: 5px 12px 5px 0; vertical-align: top; }
pre, code { font: 13px/1.45 ui-monospace, "SF Mono", Menlo, monospace; } pre { white-space: pre-wrap; }
strong { font-weight: 650; } .wide { overflow-x: auto; }
@media (max-width: 640px) { .figure svg { max-width: none; width: 620px; } th, td { white-space: nowrap; } }
@media print { main { padding: 0; max-width: none; } h2 { break-after: avoid; } .figure, tr { break-inside: avoid; } }
"""


def can_draw() -> bool:
    """Whether what draws the charts is installed."""
    return find_spec("vl_convert") is not None


def refuse() -> None:
    """Errors: WorkbenchError, with what to install."""
    if not can_draw():
        raise WorkbenchError(MISSING)


def written(ran: Sequence[Ran], title: str) -> str:
    """The page. Errors: WorkbenchError where vl-convert is missing."""
    refuse()
    body = "\n".join(part for each in ran for part in _parts(each))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _parts(ran: Ran) -> list[str]:
    cell: Cell = ran.cell
    if "notebook-only" in cell.tags:
        return []
    if cell.kind == "markdown":
        return [_markdown(cell.text)]
    return [_drawn(output) for output in ran.outputs]


def _drawn(output: Output) -> str:
    if output.kind == VEGA_LITE:
        return f'<div class="figure">{svg(output.data)}</div>'
    if output.kind == HTML:
        return f'<div class="wide">{output.data}</div>'
    return _markdown(output.data) if output.kind == MARKDOWN else f"<pre>{escape(output.data)}</pre>"


def svg(spec: dict[str, Any]) -> str:
    """A chart drawn, as wide as the text, with its description for who cannot see it."""
    converter = import_module("vl_convert")
    whole = spec | {"width": WIDTH - 130, "autosize": {"type": "pad"}, "padding": 12}
    # Fonts of one width: what was measured here is then as wide where it is read.
    whole["config"] = {**spec.get("config", {}), "font": "Arial, Helvetica, Liberation Sans, sans-serif"}
    drawn: str = converter.vegalite_to_svg(whole, allowed_base_urls=[])
    described = escape(spec.get("description", "chart"), quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{described}" ', 1)


def _markdown(text: str) -> str:
    reader = import_module("markdown_it").MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    made: str = reader.render(text)
    return made
