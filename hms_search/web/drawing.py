"""The EEG as it is read at the bedside, and a model's answers along a recording."""

import io

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hms_search.data.hms import SFREQ
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.filters import BandPass, apply_filter
from hms_search.eeg.gaps import fill_gaps
from hms_search.eeg.montage import Bipolar, derive
from hms_search.web.answers import Answer

PAGE_S = 10
"""Seconds on a page: with 30 mm a second, the usual page of 30 cm."""
MM_PER_S = 30
UV_PER_MM = 10
"""The usual sensitivity."""
_SPACING_MM = 10
_MARGIN_S = 5
"""Filtered with a page, so that the filter has settled where the page begins."""
_MONTAGE = Bipolar(name="double_banana")
_FILTER = BandPass(low_hz=0.5, high_hz=40.0, phase="zero")
_SIDES = ("black", "tab:blue", "tab:red")
_COLOURS = ("#d55e00", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#7f7f7f", "#cc79a7", "#000000")
"""Okabe and Ito's, which the colour-blind tell apart, and in place of their yellow grey, for other."""
_INCHES_PER_MM = 1 / 25.4
_DPI = 96
"""A CSS pixel is a ninety-sixth of an inch, so a page has its size in millimetres where there is room for it."""


def draw_eeg(eeg: Float[np.ndarray, "n_times 20"], first_s: float) -> Figure:
    """Return ten seconds of an EEG in the double banana, left in blue, right in red, negative upwards.

    It is drawn at 30 mm a second and 10 microvolts a millimetre, 0.5 to 40 Hz; what is missing is left out. The EKG
    below, where there is one, is drawn to a height of its own, positive upwards.
    """
    seconds, (*signals, ekg) = _page(eeg, first_s)
    rows = np.arange(len(signals))
    offsets = -_SPACING_MM * UV_PER_MM * (rows + 0.7 * (rows // 4))  # a gap after each chain of four
    limits = float(offsets[-1] - 5 * _SPACING_MM * UV_PER_MM), 1.6 * _SPACING_MM * UV_PER_MM
    figure, axes = _sized_in_mm(PAGE_S * MM_PER_S, (limits[1] - limits[0]) / UV_PER_MM)
    for signal, offset, name in zip(signals, offsets, _MONTAGE.derivations, strict=True):
        axes.plot(seconds, offset - signal, color=_SIDES[_side(name)], linewidth=0.6)
    axes.set_yticks(offsets, _MONTAGE.derivations, fontsize=8)
    if np.isfinite(ekg).any():
        _draw_ekg(axes, seconds, ekg, offsets[-1] - 2 * _SPACING_MM * UV_PER_MM)
    axes.set_xticks(np.arange(np.ceil(first_s), first_s + PAGE_S + 0.1))
    axes.grid(axis="x", color="0.85", linewidth=0.5)
    axes.set(xlim=(first_s, first_s + PAGE_S), ylim=limits, xlabel="time (s)")
    _draw_scale(axes, first_s + PAGE_S - 0.2, limits[0])
    scale = f"{UV_PER_MM} µV/mm and {MM_PER_S} mm/s at full size"
    axes.set_title(f"double banana, 0.5-40 Hz, negative up, {scale}", fontsize=9)
    return figure


def draw_timeline(answer: Answer, position_s: float) -> Figure:
    """Return the class probabilities of a recording's windows over time, each at the middle of its window."""
    recorded = answer.recorded
    middles = recorded.middles_s
    figure, axes = _sized_in_mm(PAGE_S * MM_PER_S, 60)
    for name, colour, share in zip(answer.classes, _COLOURS, answer.prediction.probabilities.T, strict=False):
        axes.plot(middles, share, color=colour, label=name, linewidth=1.4, marker="." if len(middles) < 100 else None)
    axes.axvline(middles[recorded.nearest(position_s)], color="black", linewidth=0.8, linestyle="--")
    axes.set(ylim=(0, 1), xlim=(0, recorded.duration_s), ylabel="probability")
    axes.set_xlabel(f"middle of each window of {recorded.cut.window_s:g} s (s)")
    axes.grid(color="0.85", linewidth=0.5)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, bbox_inches="tight")
    return content.getvalue()


def _page(
    eeg: Float[np.ndarray, "n_times 20"], first_s: float
) -> tuple[Float[np.ndarray, " page"], Float[np.ndarray, "derivation page"]]:
    """Return the seconds of a page, and its derivations and EKG in microvolts, NaN where an electrode is missing."""
    start, end = round(first_s * SFREQ), min(round((first_s + PAGE_S) * SFREQ), len(eeg))
    before = max(0, start - _MARGIN_S * SFREQ)
    part = torch.from_numpy(np.ascontiguousarray(eeg[before : end + _MARGIN_S * SFREQ])).float()
    matrix = torch.cat([_MONTAGE.matrix(), torch.eye(len(ELECTRODES))[[ELECTRODES.index("EKG")]]])
    signals = derive(fill_gaps(rearrange(part, "time electrode -> 1 time electrode"), "interpolate"), matrix)[0]
    filtered = apply_filter(signals, sections_of(_FILTER), _FILTER.phase)
    missing = (matrix.abs() @ part.isnan().float().T) > 0
    shown = filtered.masked_fill(missing, torch.nan)[:, start - before : end - before]
    return np.arange(start, end) / SFREQ, shown.numpy()


def _sized_in_mm(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure whose axes, without labels, have a size in millimetres."""
    left, bottom, right, top = 25, 14, 28, 10
    size = width + left + right, height + bottom + top
    figure = Figure(figsize=(size[0] * _INCHES_PER_MM, size[1] * _INCHES_PER_MM))
    return figure, figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))


def _draw_ekg(axes: Axes, seconds: Float[np.ndarray, " page"], ekg: Float[np.ndarray, " page"], offset: float) -> None:
    height = _SPACING_MM * UV_PER_MM / max(np.nanmax(np.abs(ekg)), 1.0)
    axes.plot(seconds, offset + ekg * height, color=_SIDES[0], linewidth=0.6)
    axes.set_yticks([*axes.get_yticks(), offset], [*_MONTAGE.derivations, "EKG (own scale)"], fontsize=8)


def _draw_scale(axes: Axes, right_s: float, bottom_uv: float) -> None:
    low = bottom_uv + 30
    axes.plot([right_s, right_s, right_s - 1], [low + 200, low, low], color="black", linewidth=1.5)
    axes.text(right_s - 1.1, low, "200 µV, 1 s", ha="right", va="bottom", fontsize=9)


def _side(derivation: str) -> int:
    """Return 0 for the midline, 1 for the left and 2 for the right: electrodes on the left have odd numbers."""
    numbers = [int(letter) for letter in derivation if letter.isdigit()]
    return 0 if not numbers else 2 - numbers[0] % 2
