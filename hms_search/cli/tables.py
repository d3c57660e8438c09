"""Tables of studies and trials."""

from collections.abc import Sequence
from datetime import UTC

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hms_search.cli.progress import duration
from hms_search.search.lineage import COLUMNS as CHANGES
from hms_search.search.lineage import FOLLOWS, Change, lineage_rows
from hms_search.search.repeated import Again
from hms_search.search.repeated_words import COLUMNS, again_in_words, again_rows, verdicts
from hms_search.search.report import OPTIMISTIC, StudyReport, TrialRow

_STYLES = {"complete": "green", "pruned": "yellow", "failed": "red", "interrupted": "magenta", "paused": "cyan"}
_SHORT_NAME = 20
"""A study's name up to this length stays in one line on 80 columns, beside dates and numbers that do."""


def outcome_text(outcome: str, reason: str = "", breaks: str = "") -> Text:
    """Return an outcome in its colour, with the reason of a failure, or the constraint that is exceeded."""
    shown = f"{outcome}: {reason}" if reason and outcome == "failed" else outcome
    shown = f"{shown}: {breaks}" if breaks else shown
    return Text(shown, style=_STYLES.get(outcome, ""))


def studies_table(reports: Sequence[StudyReport]) -> Table:
    """Return one row per study; on a narrow terminal cells are folded, and nothing is left out."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("study", overflow="fold", no_wrap=all(len(report.name) <= _SHORT_NAME for report in reports))
    for name in ("started (UTC)", "trials", "best", "baseline", "measure"):
        is_number = name in {"best", "baseline"}
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for report in reports:
        ended = {key: report.outcomes[key] for key in ("complete", "pruned", "failed")}
        outcomes = ", ".join(f"{count} {key}" for key, count in ended.items() if count)
        table.add_row(
            report.name,
            f"{report.started.astimezone(UTC):%Y-%m-%d %H:%M}" if report.started else "",
            f"{sum(ended.values())}/{report.total}{': ' if outcomes else ''}{outcomes}",
            _value(report.best),
            _value(report.baseline),
            _short_measure(report),
        )
    return table


def print_report(report: StudyReport, *, console: Console | None = None, top: int = 10) -> None:
    """Print a study: the best beside the baseline with what the score means, then its trials, best first."""
    console = console or Console(highlight=False, emoji=False)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    console.print(f"study {report.name}: {counts or 'no trials yet'}")
    console.print(
        f"value: {_measured(report)}, mean over {report.n_folds} folds; "
        "interval: 95 % bootstrap over patients of all out-of-fold rows",
        soft_wrap=not console.is_terminal,
    )
    if report.wanted.constraints:
        limits = "; ".join(one.in_words for one in report.wanted.constraints)
        console.print(f"constraints: {limits}", markup=False, soft_wrap=not console.is_terminal)
    if report.optimistic:
        console.print(OPTIMISTIC, style="yellow", soft_wrap=not console.is_terminal)
    _print_comparison(report, console)
    if report.wanted.aims:
        _print_front(report, console, top)
    for found in (report.noise, report.recheck):
        if found is not None:
            print_again(found, report, console)
    if report.spared:
        console.print(report.spared, soft_wrap=not console.is_terminal)
    if report.lineage:
        console.print(f"{FOLLOWS}:")
        console.print(changes_table(report.lineage))
    if report.rows:
        console.print(_trials_table(report, top))
        console.print(_parameters_table(report, columns=max(1, min(6, (console.width - 40) // 10))))


def changes_table(changes: Sequence[Change]) -> Table:
    """Return one row per parameter: what became of it and why."""
    table = Table()
    for name in CHANGES:
        table.add_column(name, overflow="fold")
    for change, row in zip(changes, lineage_rows(changes), strict=True):
        table.add_row(*row, style="dim" if change.kind == "kept" else "")
    return table


def print_again(found: Again, report: StudyReport, console: Console) -> None:
    """Print trials of a study that were run again: a table, and what may be said of each."""
    console.print(again_in_words(found, report.task), markup=False, soft_wrap=not console.is_terminal)
    table = Table()
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("trial", "") else "right")
    for row in again_rows(found):
        table.add_row(*row)
    console.print(table)
    for line in verdicts(found, None if report.best is None else report.best.number):
        console.print(line, markup=False, soft_wrap=not console.is_terminal)


def _print_front(report: StudyReport, console: Console, top: int) -> None:
    text = f"{report.wanted.in_words}; on the Pareto front, where no other trial is as good in all and better in one:"
    console.print(text, markup=False, soft_wrap=not console.is_terminal)
    shown, caption = _first(report.front, top)
    table = Table(caption=caption, caption_justify="left")
    for name in ("trial", *report.wanted.names):
        table.add_column(name, justify="right")
    for row in shown:
        table.add_row(_label(report, row), *(f"{value:,.5g}" for value in row.aims))
    console.print(table)


def _print_comparison(report: StudyReport, console: Console) -> None:
    best, baseline = report.best, report.baseline
    if best is None:
        console.print("no trial has completed: there is no best value", style="yellow")
        return
    console.print(f"best: {report.trial_name(best)} {_score(report, best)}", soft_wrap=not console.is_terminal)
    if baseline is None:
        return
    text = f"baseline: {report.trial_name(baseline)} {_score(report, baseline)}"
    console.print(text, soft_wrap=not console.is_terminal)
    if best is baseline:
        console.print("the baseline itself is the best so far")
    elif best.interval and baseline.interval and _overlap(best.interval, baseline.interval):
        text = "their intervals overlap: the difference may be noise; a paired test over patients would tell"
        console.print(text, soft_wrap=not console.is_terminal)


def _trials_table(report: StudyReport, top: int) -> Table:
    shown, caption = _first(report.best_first, top)
    table = Table(caption=caption, caption_justify="left")
    beside = {"HIGH": "kl_high", "LOW": "kl_low"} if len(report.task.strata) > 1 else report.both_levels
    for name in ("trial", report.task.symbol, "folds", *beside, "time", "outcome"):
        table.add_column(name, no_wrap=name not in {"folds", "outcome"})
    for row in shown:
        table.add_row(
            _label(report, row),
            _value(row),
            " ".join(f"{value:.3f}" for value in row.folds),
            *(_metric(row, name) for name in beside.values()),
            duration(row.seconds) if row.seconds is not None else "",
            outcome_text(row.outcome, row.reason, row.breaks),
        )
    return table


def _first(rows: Sequence[TrialRow], top: int) -> tuple[Sequence[TrialRow], str | None]:
    """Return the first rows, all for 0, and what to say where there are more."""
    shown = rows if top == 0 else rows[:top]
    said = f"{len(shown)} of {len(rows):,} trials, the best first; --top 0 shows all"
    return shown, said if len(shown) < len(rows) else None


def _parameters_table(report: StudyReport, columns: int) -> Table:
    """Return the parameters of the best trials side by side, the baseline among them."""
    rows = [row for row in report.best_first if row.value is not None][:columns]
    if report.baseline is not None and report.baseline not in rows:
        rows = [*rows[: columns - 1], report.baseline]
    table = Table()
    table.add_column("parameter of trial")
    for row in rows:
        table.add_column(_label(report, row), justify="right")
    params = [report.all_params(row) for row in rows]
    for path in dict.fromkeys(path for one in params for path in one):
        table.add_row(path, *(_parameter(one.get(path)) for one in params))
    return table


def _short_measure(report: StudyReport) -> str:
    return f"{report.task.symbol}, {report.objective} votes" if len(report.task.strata) > 1 else report.task.symbol


def _measured(report: StudyReport) -> str:
    if report.task.levels:
        return f"{report.task.measure} on folds by {report.level}"
    return f"{report.task.measure} on {report.objective} votes"


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _label(report: StudyReport, row: TrialRow) -> str:
    number = "" if row is report.first_baseline else str(row.number)
    origin = f"({row.carried_from[0]} {row.carried_from[1]})" if row.carried_from else ""
    return " ".join(filter(None, (number, "base" if row.baseline else "", origin)))


def _score(report: StudyReport, row: TrialRow) -> str:
    interval = f" [{row.interval[0]:.4f}, {row.interval[1]:.4f}]" if row.interval else ""
    levels = "".join(f", {heading} {_metric(row, name)}" for heading, name in report.both_levels.items())
    return f"{report.task.symbol} {row.value:.4f}{interval}{levels}"


def _value(row: TrialRow | None) -> str:
    return "" if row is None or row.value is None else f"{row.value:.4f}"


def _metric(row: TrialRow, name: str) -> str:
    return f"{row.metrics[name]:.3f}" if name in row.metrics else ""


def _parameter(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
