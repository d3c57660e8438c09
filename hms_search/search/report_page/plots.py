"""The plots of a study's report; Optuna's own where it has one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
import plotly.graph_objects as go
import plotly.io
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale

from hms_search.search.report import TrialRow
from hms_search.training.tasks import Task

BEST, BASELINE, OTHERS = "#0072b2", "#d55e00", "#9a9a9a"
"""Colours of Okabe and Ito's palette, which colour-blind readers tell apart."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_SHADES = ["#08306b", "#4f8fc4", "#bcd3e8"]
"""From the best value to the worst; none so light that a line is lost on the page."""
plotly.io.templates.default = go.Layout(template="plotly_white").template  # given to each figure: 9 ms each
_STATES = {"COMPLETE": BEST, "PRUNED": "#e69f00", "FAIL": BASELINE}


@dataclass(frozen=True)
class Plot:
    """A figure and what it shows, in words; below ``least_width`` pixels it scrolls instead of shrinking."""

    figure: go.Figure
    caption: str
    least_width: int = 0


def short_names(parameters: Sequence[str]) -> dict[str, str]:
    """Return each dotted path's last two parts, or the path itself where these are another one's too."""
    short = {path: ".".join(path.split(".")[-2:]) for path in parameters}
    shown = list(short.values())
    return {path: name if shown.count(name) == 1 else path for path, name in short.items()}


def history_plot(rows: Sequence[TrialRow], task: Task, *, baseline: float | None) -> Plot:
    """Return the value of each completed trial in the order they were asked, and the best so far.

    Optuna's own plot takes a trial's number for its place, and so needs them all.
    """
    kept = [row for row in rows if row.value is not None and not row.breaks]
    beyond = [row for row in rows if row.value is not None and row.breaks]
    figure = go.Figure([_points(kept, "one trial", BEST)])
    if beyond:
        figure.add_trace(_points(beyond, "exceeds a constraint", OTHERS))
    line = {"color": "#1b1b1b", "shape": "hv"}
    figure.add_scatter(
        x=[row.number for row in kept], y=_best_so_far(kept, task), name="best so far", mode="lines", line=line
    )
    if baseline is not None:
        figure.add_hline(baseline, line={"dash": "dash", "color": BASELINE}, annotation_text="baseline")
    figure.update_xaxes(title="trial", tickformat="d", dtick=unit_ticks(len(rows)))
    figure.update_yaxes(title=value_name(task))
    return Plot(plain_looks(figure, height=380), "Value of each completed trial, and the best value so far.")


def parallel_plot(study: optuna.Study, task: Task, *, baseline: int | None) -> Plot:
    """Return the completed trials as lines through their parameters."""
    figure = optuna.visualization.plot_parallel_coordinate(study, target_name=value_name(task))
    trials = completed(study)
    labels = [name.replace(".", ".<br>") for name in short_names(searched(trials, ordered=True)).values()]
    figure.update_xaxes(ticktext=[task.symbol, *labels])  # Optuna cuts them after 20 letters
    losses = [task.as_loss(trial.values[0]) for trial in trials]
    span = (max(losses) - min(losses)) or 1.0
    for trial, line, loss in zip(trials, figure.data, losses, strict=False):  # the last of the data is the colour bar
        shade = sample_colorscale(_SHADES, (loss - min(losses)) / span)[0]
        line.opacity = 0.9  # Plotly's own update of both takes fifteen times as long
        line.line = {"color": BASELINE if trial.number == baseline else shade, "width": 1.5}
    figure.update_traces(
        marker={
            "colorscale": _SHADES,
            "reversescale": task.direction == "maximize",
            "colorbar": {"title": task.symbol},
        },
        selector={"mode": "markers"},
    )
    dark = f"{task.symbol} is {'low' if task.direction == 'minimize' else 'high'}"
    caption = f"One line per completed trial, dark where its {dark}, the baseline orange; axes run from least to most."
    return Plot(plain_looks(figure, height=380, top=24), caption, least_width=110 * (len(labels) + 1))


def slice_plots(study: optuna.Study, task: Task) -> tuple[Plot, ...]:
    """Return a plot per parameter: the value of each completed trial over what the parameter was."""
    plots = []
    for path in searched(completed(study)):
        figure = optuna.visualization.plot_slice(study, params=[path], target_name=value_name(task))
        figure.update_traces(marker_showscale=False, marker_line_color="#555555")
        if isinstance(figure.data[0].x[0], str):  # Optuna shows the names of choices in quotation marks
            figure.update_traces(x=[name.strip("'") for name in figure.data[0].x])
        figure.update_xaxes(title=path, title_font_size=13, nticks=6, tickangle=0)
        plots.append(
            Plot(plain_looks(figure, height=260, top=12), f"{task.symbol} over {path}; later trials are darker.")
        )
    return tuple(plots)


def timeline_plot(study: optuna.Study) -> Plot:
    """Return when each trial ran."""
    figure = optuna.visualization.plot_timeline(study)
    figure.for_each_trace(lambda bar: bar.update(name=bar.name.lower(), marker_color=_STATES.get(bar.name, OTHERS)))
    figure.update_xaxes(title="time, where the report was made")
    figure.update_yaxes(title="trial", tickformat="d", dtick=unit_ticks(len(study.get_trials(deepcopy=False))))
    return Plot(plain_looks(figure, height=340), "When each trial ran; interrupted trials count as failed here.")


def _best_so_far(rows: Sequence[TrialRow], task: Task) -> list[float]:
    losses = np.array([task.as_loss(row.value) for row in rows if row.value is not None])
    return [task.as_loss(loss) for loss in np.minimum.accumulate(losses).tolist()]  # its own inverse


def _points(rows: Sequence[TrialRow], name: str, colour: str) -> go.Scatter:
    x, y = [row.number for row in rows], [row.value for row in rows]
    return go.Scatter(x=x, y=y, name=name, mode="markers", marker={"color": colour, "size": 8})


def value_name(task: Task) -> str:
    """Return what a value is, with its unit, as an axis names it."""
    return f"{task.symbol}{task.unit}"


def unit_ticks(count: int) -> int | None:
    """Return the distance of ticks of an axis of trials, None to leave it to the plot."""
    return 1 if count <= 20 else None


def searched(trials: Sequence[FrozenTrial], *, ordered: bool = False) -> list[str]:
    """Return the parameters that any of the trials has, in the space's order or, as Optuna draws them, by name."""
    paths = list(dict.fromkeys(path for trial in trials for path in trial.params))
    return sorted(paths) if ordered else paths


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ran to their end."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def plain_looks(figure: go.Figure, *, height: int, top: int = 50) -> go.Figure:
    """Return the figure in the page's looks: as wide as its place, system fonts, legend above (``top`` leaves room)."""
    return figure.update_layout(
        title=None,
        width=None,
        height=height,
        margin={"l": 60, "r": 20, "t": top, "b": 50},
        font={"family": _FONT, "size": 13},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
