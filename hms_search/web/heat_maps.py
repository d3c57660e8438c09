"""The input of a network beside its Grad-CAM, on the same axes."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from hms_search.eeg.shapes import Kind
from hms_search.explain import Explanation, Panel

_INCHES = 13.0
_PANEL_INCHES = 3.6
_SHOWN = (1.0, 99.0)
"""Percentiles of the input that the colours span: a few extreme pixels would else hide the rest."""

_KINDS: Mapping[Kind, str] = {"eeg": "EEG", "spectrogram": "spectrogram", "fft": "spectra of each second"}


def draw_explanation(explanation: Explanation, where: str) -> Figure:
    """Return the input and the Grad-CAM of a class side by side, one line for each part of the input.

    Frequencies rise upwards. Of several channels of an input the mean is shown, of statistics over time that of the
    mean; the Grad-CAM is of all of them. ``where`` says which window it is.
    """
    panels = explanation.panels
    figure = Figure(figsize=(_INCHES, _PANEL_INCHES * len(panels) + 0.5), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False)
    for panel, (left, right) in zip(panels, grid, strict=True):
        channels = _shown(panel)
        seen = _part(explanation.image[channels].mean(axis=0), panel)
        low, high = np.percentile(seen, _SHOWN)
        _draw(left, seen, panel, "viridis", Normalize(low, max(high, low + 1e-6)), "input, as normalised")
        _draw(right, _part(explanation.map, panel), panel, "magma", Normalize(0, 1), "Grad-CAM, share of its maximum")
        left.set_title(f"what the network saw of the {_KINDS[panel.kind]}{_averaged(panel)}", fontsize=9)
        right.set_title(_spoken(explanation), fontsize=9)
    figure.suptitle(
        f"{where}; {explanation.network} gives {explanation.class_name} {explanation.probability:.3f}", fontsize=9
    )
    return figure


def _draw(
    axes: Axes, values: Float[np.ndarray, "height width"], panel: Panel, colours: str, norm: Normalize, label: str
) -> None:
    height, width = values.shape
    upwards = "frequency" in panel.rows.label
    edges = (0, width, 0, height) if upwards else (0, width, height, 0)
    drawn = axes.imshow(
        values,
        cmap=colours,
        norm=norm,
        extent=edges,
        origin="lower" if upwards else "upper",
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_yticks([place for place, _ in panel.rows.ticks], [text for _, text in panel.rows.ticks], fontsize=7)
    axes.set_xticks([place for place, _ in panel.columns.ticks], [text for _, text in panel.columns.ticks], fontsize=7)
    axes.set_ylabel(panel.rows.label, fontsize=8)
    axes.set_xlabel(panel.columns.label, fontsize=8)
    axes.figure.colorbar(drawn, ax=axes, pad=0.01).set_label(label, fontsize=8)


def _part(image: Float[np.ndarray, "height width"], panel: Panel) -> Float[np.ndarray, "panel_height panel_width"]:
    return image[panel.top : panel.bottom, panel.left : panel.right]


def _shown(panel: Panel) -> list[int]:
    means = [number for number, name in panel.channels if name == "mean"]
    return means or [number for number, _ in panel.channels]


def _spoken(explanation: Explanation) -> str:
    if not explanation.map.any():
        return f"nothing the network saw speaks for {explanation.class_name}"
    return f"what speaks for {explanation.class_name}"


def _averaged(panel: Panel) -> str:
    count = len(panel.channels)
    if any(name == "mean" for _, name in panel.channels):
        return f", mean over time (of {count} statistics)" if count > 1 else ", mean over time"
    return f", mean of {count} channels" if count > 1 else ""
