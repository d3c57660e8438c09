"""A report as one HTML page that needs nothing else, and as Markdown: sections of words, tables and plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from plotly.offline import get_plotlyjs

from hms_search.search.report_page.plots import Plot


@dataclass(frozen=True)
class Words:
    """A paragraph; a warning stands out."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the rows, numbers are set flush right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plots:
    """Plots side by side where the page is wide enough for them; ``wide`` ones each take the whole width."""

    plots: Sequence[Plot]
    wide: bool = False


Block = Words | Table | Plots


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A report: its title and its sections."""

    title: str
    sections: Sequence[Section]

    def markdown(self) -> str:
        """Return the page as Markdown; of plots only what they show, for they are in the HTML page."""
        lines = [f"# {self.title}"]
        for section in self.sections:
            lines += ["", f"## {section.title}"]
            for block in section.blocks:
                lines += ["", *_markdown(block)]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """Return the page as HTML with the plots' code in it: a file to open offline, to send or to keep."""
        contents = "".join(
            f'<li><a href="#part-{index}">{escape(section.title)}</a></li>'
            for index, section in enumerate(self.sections)
        )
        body = "\n".join(
            f'<section id="part-{index}"><h2>{escape(section.title)}</h2>\n'
            f"{''.join(_html(block) for block in section.blocks)}</section>"
            for index, section in enumerate(self.sections)
        )
        return _HTML.format(
            title=escape(self.title), style=_STYLE, plotly=get_plotlyjs(), contents=contents, body=body, fit=_FIT
        )


def _markdown(block: Block) -> list[str]:
    if isinstance(block, Words):
        return [f"> **{block.text}**" if block.warning else block.text]
    if isinstance(block, Plots):
        return [f"- Plot: {plot.caption}" for plot in block.plots]
    numeric = [_is_numeric(block, column) for column in range(len(block.columns))]
    rule = ["---:" if right else "---" for right in numeric]
    rows = [block.columns, *block.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return [f"*{block.caption}*", "", lines[0], "| " + " | ".join(rule) + " |", *lines[1:]]


def _html(block: Block) -> str:
    if isinstance(block, Words):
        return f'<p role="note" class="warning">{escape(block.text)}</p>' if block.warning else _paragraph(block.text)
    if isinstance(block, Plots):
        figures = "".join(_figure(plot) for plot in block.plots)
        return f'<div class="{"wide" if block.wide else "plots"}">{figures}</div>'
    numeric = ["number" if _is_numeric(block, column) else "" for column in range(len(block.columns))]
    head = "".join(
        f'<th scope="col" class="{kind}">{_breakable(name)}</th>'
        for name, kind in zip(block.columns, numeric, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row" class="{numeric[0]}">{escape(row[0])}</th>'
        + "".join(
            f'<td class="{"long" if len(cell) > _LONG else kind}">{escape(cell)}</td>'
            for cell, kind in zip(row[1:], numeric[1:], strict=True)
        )
        + "</tr>"
        for row in block.rows
    )
    caption = escape(block.caption)
    return (
        f'<figure><figcaption>{caption}</figcaption><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{caption}"><table aria-label="{caption}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div></figure>"
    )


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _figure(plot: Plot) -> str:
    drawing = plot.figure.to_html(
        full_html=False, include_plotlyjs=False, config={"responsive": True, "displayModeBar": False}
    )
    caption = escape(plot.caption)
    scrolling = f'<div class="scroll"><div style="min-width: {plot.least_width}px">{drawing}</div></div>'
    return f'<figure aria-label="{caption}">{scrolling}<figcaption>{caption}</figcaption></figure>'


def _is_numeric(table: Table, column: int) -> bool:
    """Say whether a column has numbers alone; a range from one to another is words."""
    cells = [row[column] for row in table.rows if row[column] not in ("", "–")]
    return bool(cells) and all(cell.lstrip("-+<>[ ")[:1].isdigit() and " to " not in cell for cell in cells)


def _breakable(name: str) -> str:
    """Let the dotted path of a parameter go on in the next line after a dot."""
    return escape(name).replace(".", ".<wbr>")


_LONG = 40
"""Letters from which a cell may go on in a second line."""

_STYLE = """
body { margin: 0 auto; max-width: 1160px; padding: 0 16px 64px; color: #1b1b1b; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; margin: 24px 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 40px 0 8px; padding-top: 8px; border-top: 2px solid #1b1b1b; }
p { max-width: 75ch; margin: 8px 0; }
a { color: #0b57a4; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; list-style: none; font-size: .92rem; }
.warning { padding: 8px 12px; border-left: 4px solid #b84700; background: #fff3e8; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 9px; text-align: left; vertical-align: top; border-bottom: 1px solid #d5d5d5; }
thead th { vertical-align: bottom; border-bottom: 2px solid #1b1b1b; }
td { white-space: nowrap; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 24ch; }
tbody th { font-weight: 600; white-space: nowrap; }
.number { text-align: right; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 16px; }
figure { margin: 12px 0; min-width: 0; }
@media (max-width: 600px) { tbody th { white-space: normal; } }
figcaption { font-size: .88rem; color: #444; }
"""

_FIT = """
for (const plot of document.querySelectorAll(".js-plotly-plot")) Plotly.Plots.resize(plot);
"""

# The policy keeps the page from fetching anything, whatever the plots' code would do.
_HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline';
 script-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
<script>{plotly}</script>
</head>
<body>
<header><h1>{title}</h1><nav aria-label="Contents"><ul>{contents}</ul></nav></header>
<main>
{body}
</main>
<script>{fit}</script>
</body>
</html>
"""
