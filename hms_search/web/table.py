"""The answers as a table for the eye, and as CSV for programs."""

import csv
import io
from collections.abc import Sequence

from hms_search.data.labels import CLASSES
from hms_search.web.answers import Answer, Outcome

HEADERS = ("recording", "answer", *CLASSES, "windows", "error")
CSV_COLUMNS = (
    *("recording", "answer", "duration_s", "windows"),
    *(f"p_{name}" for name in CLASSES),
    *(f"spread_{name}" for name in CLASSES),
    "error",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes as the start of a formula; a file name may begin with it."""


def table_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return a row of text for each recording, in the columns of :data:`HEADERS`: probability ± spread of a class."""
    return [_shown(outcome) for outcome in outcomes]


def csv_text(outcomes: Sequence[Outcome]) -> str:
    """Return the table with six decimals, in the columns of :data:`CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([_escaped(cell) for cell in _written(outcome)] for outcome in outcomes)
    return text.getvalue()


def _shown(outcome: Outcome) -> list[str]:
    if not isinstance(outcome, Answer):
        return [outcome.name, "", *[""] * len(CLASSES), "", outcome.reason]
    shares = zip(outcome.probabilities, outcome.spread, strict=True)
    cells = [f"{probability:.3f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{spread:.3f}" for probability, spread in shares]
    return [outcome.name, outcome.label, *cells, str(len(outcome.recorded.starts_s)), ""]


def _written(outcome: Outcome) -> list[str]:
    if not isinstance(outcome, Answer):
        return [outcome.name, *[""] * (len(CSV_COLUMNS) - 2), outcome.reason]
    numbers = [f"{number:.6f}" for number in (*outcome.probabilities, *outcome.spread)]
    recorded = outcome.recorded
    return [outcome.name, outcome.label, f"{recorded.duration_s:g}", str(len(recorded.starts_s)), *numbers, ""]


def _escaped(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
