"""The importance of parameters in a study's report: what could be computed, of which trials, and what could not."""

import warnings
from collections.abc import Mapping

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

from hms_search.search.report_page.excerpt import Excerpt
from hms_search.search.report_page.plots import BEST, Plot, completed, plain_looks, searched, short_names

_FEW = 4
_FANOVA_MOST = 150
"""fANOVA's time grows with the square of the trials: of 150 it takes half a second, of 10,000 nine minutes."""
_FANOVA_TREES = 32
"""Optuna's 64 take twice the time, and are as far apart where another 150 trials are drawn."""


def importances(study: optuna.Study) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the importance of each parameter by method, and in words what could not be computed and why."""
    trials = completed(study)
    if len(trials) < _FEW:
        return {}, [f"Importances need at least {_FEW} completed trials; there are {len(trials)}."]
    found: dict[str, dict[str, float]] = {}
    remarks = []
    sample = study
    if len(trials) > _FANOVA_MOST:
        numbers = np.random.default_rng(0).choice([trial.number for trial in trials], _FANOVA_MOST, replace=False)
        sample = Excerpt(study, numbers.tolist())
        remarks.append(f"fANOVA is of {_FANOVA_MOST} of the {len(trials):,} completed trials, drawn at random.")
    for name, of, evaluator in (
        ("fANOVA", sample, FanovaImportanceEvaluator(n_trees=_FANOVA_TREES, seed=0)),
        ("PED-ANOVA", study, PedAnovaImportanceEvaluator()),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Optuna would give equal importances that mean nothing
            try:
                found[name] = get_param_importances(of, evaluator=evaluator)
            except (RuntimeError, ValueError, UserWarning) as error:
                remarks.append(f"{name} says nothing about these trials: {error}")
    left_out = [path for path in searched(trials) if "fANOVA" in found and path not in found["fANOVA"]]
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
