"""Pieces of the page as HTML, every text in them escaped; pictures and files are in the page itself, not on disk."""

import base64
from collections.abc import Iterable
from html import escape


def table_html(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table with or without a line of headings; where it is too wide, it scrolls by itself."""
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    table = "".join(f"<tr>{line}</tr>" for line in (heading, *lines) if line)
    return f'<div style="overflow-x:auto"><table>{table}</table></div>'


def picture_html(png: bytes, description: str) -> str:
    """Return a picture with a description for who cannot see it."""
    return f'<img src="{_data("image/png", png)}" alt="{escape(description)}" style="max-width:100%;height:auto">'


def download_html(text: str, name: str, label: str) -> str:
    """Return a link that saves a CSV text as a file."""
    address = _data("text/csv;charset=utf-8", text.encode())
    return f'<a href="{address}" download="{escape(name)}">{escape(label)}</a>'


def _data(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
