"""The plots of a study's report; Optuna's own where it has one."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
import plotly.graph_objects as go
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale

from hms_search.training.tasks import Task

BEST, BASELINE, OTHERS = "#0072b2", "#d55e00", "#9a9a9a"
"""Colours of Okabe and Ito's palette, which colour-blind readers tell apart."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_SHADES = ["#08306b", "#4f8fc4", "#bcd3e8"]
"""From the best value to the worst; none so light that a line is lost on the page."""
_STATES = {"COMPLETE": BEST, "PRUNED": "#e69f00", "FAIL": BASELINE}
_FEW = 4


@dataclass(frozen=True)
class Plot:
    """A figure and what it shows, in words; below ``least_width`` pixels it scrolls instead of shrinking."""

    figure: go.Figure
    caption: str
    least_width: int = 0


@dataclass(frozen=True)
class Curve:
    """What was validated of one trial in one fold, by epoch from 1.

    ``stopped`` says that the trial ended with the curve's last epoch, before its last fold and epoch; ``training`` is
    the training loss where it is known.
    """

    trial: int
    fold: int
    values: Mapping[int, float]
    stopped: bool
    training: Mapping[int, float]


def short_names(parameters: Sequence[str]) -> dict[str, str]:
    """Return each dotted path's last two parts, or the path itself where these are another one's too."""
    short = {path: ".".join(path.split(".")[-2:]) for path in parameters}
    shown = list(short.values())
    return {path: name if shown.count(name) == 1 else path for path, name in short.items()}


def history_plot(study: optuna.Study, task: Task, *, baseline: float | None) -> Plot:
    """Return the value of each completed trial in the order they were asked, and the best so far."""
    figure = optuna.visualization.plot_optimization_history(study, target_name=_value(task))
    figure.update_traces(name="one trial", marker={"color": BEST, "size": 8}, selector={"mode": "markers"})
    figure.update_traces(name="best so far", line={"color": "#1b1b1b", "shape": "hv"}, selector={"mode": "lines"})
    if baseline is not None:
        figure.add_hline(baseline, line={"dash": "dash", "color": BASELINE}, annotation_text="baseline")
    figure.update_xaxes(title="trial", tickformat="d", dtick=_unit_ticks(len(study.trials)))
    return Plot(plain_looks(figure, height=380), "Value of each completed trial, and the best value so far.")


def parallel_plot(study: optuna.Study, task: Task, *, baseline: int | None) -> Plot:
    """Return the completed trials as lines through their parameters."""
    figure = optuna.visualization.plot_parallel_coordinate(study, target_name=_value(task))
    trials = _completed(study)
    labels = [name.replace(".", ".<br>") for name in short_names(_searched(trials, ordered=True)).values()]
    figure.update_xaxes(ticktext=[task.symbol, *labels])  # Optuna cuts them after 20 letters
    losses = [task.as_loss(trial.values[0]) for trial in trials]
    span = (max(losses) - min(losses)) or 1.0
    for trial, line, loss in zip(trials, figure.data, losses, strict=False):  # the last of the data is the colour bar
        shade = sample_colorscale(_SHADES, (loss - min(losses)) / span)[0]
        line.update(opacity=0.9, line={"color": BASELINE if trial.number == baseline else shade, "width": 1.5})
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
    for path in _searched(_completed(study)):
        figure = optuna.visualization.plot_slice(study, params=[path], target_name=_value(task))
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
    figure.update_xaxes(title="time (UTC)")
    figure.update_yaxes(title="trial", tickformat="d", dtick=_unit_ticks(len(study.trials)))
    return Plot(plain_looks(figure, height=340), "When each trial ran; interrupted trials count as failed here.")


def importances(study: optuna.Study) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the importance of each parameter by method, and in words what could not be computed and why."""
    trials = _completed(study)
    if len(trials) < _FEW:
        return {}, [f"Importances need at least {_FEW} completed trials; there are {len(trials)}."]
    found: dict[str, dict[str, float]] = {}
    remarks = []
    for name, evaluator in (
        ("fANOVA", FanovaImportanceEvaluator(seed=0)),
        ("PED-ANOVA", PedAnovaImportanceEvaluator()),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Optuna would give equal importances that mean nothing
            try:
                found[name] = get_param_importances(study, evaluator=evaluator)
            except (RuntimeError, ValueError, UserWarning) as error:
                remarks.append(f"{name} says nothing about these trials: {error}")
    left_out = [path for path in _searched(trials) if "fANOVA" in found and path not in found["fANOVA"]]
    if left_out:
        remarks.append(f"fANOVA leaves out parameters that not every trial has: {', '.join(left_out)}.")
    return {name: values for name, values in found.items() if values}, remarks


def importance_plot(by_method: Mapping[str, Mapping[str, float]]) -> Plot:
    """Return the importances of parameters as bars, most important on top."""
    order = dict.fromkeys(path for values in by_method.values() for path in values)
    paths = sorted(order, key=lambda path: sum(values.get(path, 0.0) for values in by_method.values()))
    names = short_names(paths)
    figure = go.Figure(
        [
            go.Bar(
                name=method,
                orientation="h",
                y=[names[path] for path in paths],
                x=[float(values[path]) if path in values else None for path in paths],
                marker_color=colour,
                hovertemplate="%{y}: %{x:.2f}",
            )
            for (method, values), colour in zip(by_method.items(), (BEST, "#e69f00"), strict=False)
        ]
    )
    figure.update_layout(barmode="group", xaxis={"title": "importance (share; sums to 1)", "range": [0, 1]})
    figure.update_yaxes(automargin=True)
    return Plot(plain_looks(figure, height=120 + 46 * len(paths)), "Importance of each parameter for the value.")


def curve_plots(curves: Sequence[Curve], task: Task, *, best: int | None, baseline: int | None) -> tuple[Plot, ...]:
    """Return a plot per fold of the validated value over the epochs: best and baseline, the other trials faintly."""
    if not curves:
        return ()
    span = _span([value for curve in curves for value in (*curve.values.values(), *curve.training.values())])
    plots = []
    for fold in dict.fromkeys(curve.fold for curve in curves):
        own = [curve for curve in curves if curve.fold == fold]
        figure = go.Figure(_faint([curve for curve in own if curve.trial not in (best, baseline)]))
        for curve in own:
            if curve.trial == baseline and baseline != best:
                figure.add_traces(_bold(curve, f"baseline (trial {curve.trial})", BASELINE))
            elif curve.trial == best:
                title = "best and baseline" if best == baseline else "best"
                figure.add_traces(_bold(curve, f"{title} (trial {curve.trial})", BEST))
        longest = max(epoch for curve in own for epoch in curve.values)
        figure.update_xaxes(title="epoch", tickformat="d", dtick=_unit_ticks(longest))
        figure.update_yaxes(title=_value(task), range=span)
        caption = f"Fold {fold}: validation solid, training dotted; a cross where a trial was stopped."
        plots.append(Plot(plain_looks(figure, height=360), caption))
    return tuple(plots)


def _value(task: Task) -> str:
    return f"{task.symbol}{task.unit}"


def _unit_ticks(count: int) -> int | None:
    """Return the distance of ticks of an axis of trials, None to leave it to the plot."""
    return 1 if count <= 20 else None


def _searched(trials: Sequence[FrozenTrial], *, ordered: bool = False) -> list[str]:
    """Return the parameters that any of the trials has, in the space's order or, as Optuna draws them, by name."""
    paths = list(dict.fromkeys(path for trial in trials for path in trial.params))
    return sorted(paths) if ordered else paths


def _completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _span(values: Sequence[float]) -> list[float] | None:
    """Return the ends of an axis, so that a diverged trial does not flatten the others; None without a value."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return None
    low, high = finite[0], finite[int(0.98 * (len(finite) - 1))]
    edge = 0.05 * (high - low) or 0.05
    return [low - edge, high + edge]


def _faint(curves: Sequence[Curve]) -> list[go.Scatter]:
    if not curves:
        return []
    x: list[int | None] = []
    y: list[float | None] = []
    for curve in curves:
        x += [*curve.values, None]
        y += [*curve.values.values(), None]
    stopped = [curve for curve in curves if curve.stopped]
    ends = [list(curve.values.items())[-1] for curve in stopped]
    line = go.Scatter(x=x, y=y, mode="lines+markers", name="other trials", hoverinfo="skip")
    line.update(line={"color": OTHERS, "width": 1}, marker={"size": 4}, opacity=0.45)
    cross = go.Scatter(x=[end[0] for end in ends], y=[end[1] for end in ends], mode="markers", name="stopped")
    cross.update(marker={"symbol": "x", "size": 8, "color": OTHERS}, text=[f"trial {curve.trial}" for curve in stopped])
    return [line, cross] if ends else [line]


def _bold(curve: Curve, name: str, colour: str) -> list[go.Scatter]:
    drawn = [("", "solid", curve.values), (", training", "dot", curve.training)]
    return [
        go.Scatter(
            x=list(values),
            y=list(values.values()),
            name=f"{name}{suffix}",
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.5},
        )
        for suffix, dash, values in drawn
        if values
    ]


def plain_looks(figure: go.Figure, *, height: int, top: int = 50) -> go.Figure:
    """Return the figure in the page's looks: as wide as its place, system fonts, legend above (``top`` leaves room)."""
    return figure.update_layout(
        template="plotly_white",
        title=None,
        width=None,
        height=height,
        margin={"l": 60, "r": 20, "t": top, "b": 50},
        font={"family": _FONT, "size": 13},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
