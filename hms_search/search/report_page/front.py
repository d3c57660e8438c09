"""The section about several aims: the trials that no other one beats in all of them."""

import plotly.graph_objects as go

from hms_search.search.report import StudyReport, TrialRow
from hms_search.search.report_page.excerpt import drawn, listed
from hms_search.search.report_page.page import Block, Plots, Section, Table, Words
from hms_search.search.report_page.plots import BEST, OTHERS, Plot, plain_looks


def front_section(report: StudyReport) -> Section:
    """Return the Pareto front as plots, the first aim over each other one, and as a table."""
    names, front = report.wanted.names, report.front
    blocks: list[Block] = [Words(f"{report.wanted.in_words}. All else on this page is of the first aim.")]
    if not front:
        return Section("Pareto front", [*blocks, Words("No trial has completed.")])
    blocks.append(Plots([_plot(report, place) for place in range(1, len(names))]))
    chosen, said = listed(front, report.name)
    rows = [[_label(row), *(f"{value:,.5g}" for value in row.aims)] for row in chosen]
    caption = f"The {len(front)} trials that no other one beats: as good in all aims, and better in one.{said}"
    return Section("Pareto front", [*blocks, Table(caption, ["trial", *names], rows)])


def _plot(report: StudyReport, place: int) -> Plot:
    names, front = report.wanted.names, report.front
    on_front = {row.number for row in front}
    others = [row for row in drawn(report, report.rows) if row.aims and row.number not in on_front]
    figure = go.Figure([_points(others, place, "other trials", OTHERS), _points(front, place, "Pareto front", BEST)])
    figure.update_xaxes(title=names[place])
    figure.update_yaxes(title=names[0])
    return Plot(plain_looks(figure, height=380), f"{names[0]} over {names[place]} of each completed trial.")


def _points(rows: list[TrialRow] | tuple[TrialRow, ...], place: int, name: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=[row.aims[place] for row in rows],
        y=[row.aims[0] for row in rows],
        text=[f"trial {row.number}{f', exceeds: {row.breaks}' if row.breaks else ''}" for row in rows],
        mode="markers",
        name=name,
        marker={"color": colour, "size": 9},
    )


def _label(row: TrialRow) -> str:
    return f"{row.number}{' (baseline)' if row.baseline else ''}"
