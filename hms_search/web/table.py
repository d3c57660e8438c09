"""The answers as a table for the eye, and as CSV for programs."""

import csv
import io
from collections.abc import Sequence

from hms_search.web.answers import Answer, Outcome

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes as the start of a formula; a file name may begin with it."""


def headers(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the headings of the table for the eye."""
    return ("recording", "answer", *classes, "windows", "error")


def csv_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the table for programs."""
    numbers = [f"{what}_{name}" for what in ("p", "spread") for name in classes]
    return ("recording", "answer", "duration_s", "windows", *numbers, "error")


def table_rows(outcomes: Sequence[Outcome], classes: Sequence[str]) -> list[list[str]]:
    """Return a row of text for each recording, under :func:`headers`: probability ± spread of each class."""
    return [_shown(outcome, len(classes)) for outcome in outcomes]


def csv_text(outcomes: Sequence[Outcome], classes: Sequence[str]) -> str:
    """Return the table with six decimals, in the columns of :func:`csv_columns`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(csv_columns(classes))
    writer.writerows([_escaped(cell) for cell in _written(outcome, len(classes))] for outcome in outcomes)
    return text.getvalue()


def _shown(outcome: Outcome, n_classes: int) -> list[str]:
    if not isinstance(outcome, Answer):
        return [outcome.name, "", *[""] * n_classes, "", outcome.reason]
    shares = zip(outcome.probabilities, outcome.spread, strict=True)
    cells = [f"{probability:.3f} ±\N{NO-BREAK SPACE}{spread:.3f}" for probability, spread in shares]
    return [outcome.name, outcome.label, *cells, str(len(outcome.recorded.cut.starts_s)), ""]


def _written(outcome: Outcome, n_classes: int) -> list[str]:
    if not isinstance(outcome, Answer):
        return [outcome.name, *[""] * (3 + 2 * n_classes), outcome.reason]
    numbers = [f"{number:.6f}" for number in (*outcome.probabilities, *outcome.spread)]
    duration_s = outcome.recorded.duration_s
    known = f"{duration_s:g}" if duration_s else ""
    return [outcome.name, outcome.label, known, str(len(outcome.recorded.cut.starts_s)), *numbers, ""]


def _escaped(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
