"""The learning curves of a study's report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hms_search.search.report_page.plots import BASELINE, BEST, OTHERS, Plot, plain_looks, unit_ticks, value_name
from hms_search.training.tasks import Task


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
        figure.update_xaxes(title="epoch", tickformat="d", dtick=unit_ticks(longest))
        figure.update_yaxes(title=value_name(task), range=span)
        caption = f"Fold {fold}: validation solid, training dotted; a cross where a trial was stopped."
        plots.append(Plot(plain_looks(figure, height=360), caption))
    return tuple(plots)


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
