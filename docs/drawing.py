"""How :mod:`make_pictures` draws EEG and planes of frequency by time: as they are read at the bedside."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from torch.nn import functional

from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.filter_design import sections_of

SFREQ = 200
LABELLED_S = (20.0, 30.0)
FILTERED: dict[str, object] = {
    "source": "eeg",
    "clip_uv": 1024,
    "filters": [
        {"name": "band_pass", "low_hz": 0.5, "high_hz": 40.0, "phase": "zero"},
        {"name": "notch", "hz": 60, "phase": "zero"},
    ],
}
SPACING_UV = 100.0
"""Between two traces: at the usual 10 microvolts a millimetre, one centimetre of paper."""
Limits = tuple[float, float]
_SIDES = ("black", "tab:blue", "tab:red")
_COLOURS = matplotlib.colormaps["turbo"].resampled(16)
"""From blue to red, as monitors at the bedside show spectrograms; in steps, which a PNG packs well."""


def draw_traces(axes: Axes, eeg: torch.Tensor, seconds: tuple[float, float]) -> None:
    """Draw seconds of the double banana, left in blue, right in red, negative upwards."""
    pipeline = EegPipeline.model_validate({**FILTERED, "montage": {"name": "double_banana"}})
    signals = dict(pipeline.fit([sections_of(one) for one in pipeline.filters]).steps(eeg))["montage"][0]
    first, last = (round(second * SFREQ) for second in seconds)
    rows = np.arange(len(signals))
    offsets = -SPACING_UV * (rows + 0.7 * (rows // 4))  # a gap after each chain of four
    names = pipeline.montage.derivations
    for signal, offset, name in zip(signals[:, first:last].numpy(), offsets, names, strict=True):
        axes.plot(np.arange(first, last) / SFREQ, offset - signal, color=_SIDES[_side(name)], linewidth=0.5)
    axes.set_yticks(offsets, names, fontsize=7)
    axes.set_xticks(np.arange(np.ceil(seconds[0]), seconds[1] + 0.1))
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="0.85", linewidth=0.5)
    bottom = offsets[-1] - 3 * SPACING_UV
    axes.set(xlim=seconds, ylim=(bottom, 1.6 * SPACING_UV))
    right = seconds[1] - 0.2
    axes.plot([right, right, right - 1], [bottom + 230, bottom + 30, bottom + 30], color="black", linewidth=1.5)
    axes.text(right - 1.1, bottom + 30, "200 µV, 1 s", ha="right", va="bottom", fontsize=8)


def draw_strips(
    axes: Axes, planes: np.ndarray, limits: Limits, *, labels: Sequence[str], hz: tuple[float, float], last_s: float
) -> AxesImage:
    """Draw planes one below the other, frequency upwards and time to the right in each.

    They are averaged to about the pixels of the picture first: a page of all values would be of half a megabyte.
    """
    rows, columns = (48, 256) if len(planes) <= 4 else (12, 256)
    size = min(rows, planes.shape[1]), min(columns, planes.shape[2])
    planes = functional.adaptive_avg_pool2d(torch.from_numpy(planes), size).numpy()
    n_planes, n_rows, n_columns = planes.shape
    gap = np.full((n_planes, max(1, n_rows // 12), n_columns), np.nan)
    strips = np.concatenate([planes[:, ::-1], gap], axis=1)
    high = n_rows / strips.shape[1]
    picture = _draw_image(axes, strips.reshape(-1, n_columns), limits, extent=(0, last_s, n_planes, 0))
    tops = np.arange(n_planes)
    axes.set_yticks(tops + high / 2, labels, fontsize=8 if n_planes <= 4 else 7)
    axes.tick_params(axis="x", labelsize=8)
    hertz = axes.secondary_yaxis("right")
    shown_hz = np.arange(1, 4) * 5 if hz[1] <= 20 else np.arange(1, 3) * 10
    ticks = (tops[:, None] + high * (hz[1] - shown_hz) / (hz[1] - hz[0])).ravel()
    if n_planes <= 4:
        hertz.set_yticks(ticks, [f"{each:g} Hz" for _ in tops for each in shown_hz], fontsize=7)
    else:
        hertz.set_yticks([])
        hertz.set_ylabel(f"in each strip upwards: {hz[0]:g} to {hz[1]:g} Hz", fontsize=8)
    return picture


def draw_time(axes: Axes, ticks: Sequence[float], labels: Sequence[str], labelled: tuple[float, float]) -> None:
    """Draw the time axis and the edges of the labelled ten seconds."""
    axes.set_xticks(ticks, labels)
    for edge in labelled:
        axes.axvline(edge, color="white", linewidth=1.4)
        axes.axvline(edge, color="black", linewidth=1.4, linestyle=(0, (3, 3)))
    axes.text(sum(labelled) / 2, 1.01, "labelled 10 s", transform=axes.get_xaxis_transform(), ha="center", fontsize=8)


def draw_statistics(axes: Axes, planes: np.ndarray, limits: Limits, *, labels: Sequence[str]) -> AxesImage:
    """Draw the hackathon's three images of derivation by frequency side by side."""
    gap = np.full((*planes.shape[:2], 1), np.nan)
    width = planes.shape[2] + 1
    picture = _draw_image(axes, np.concatenate([*np.concatenate([planes, gap], axis=2)], axis=1), limits)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    shown_hz = (1, 4, 8, 12, 16, 20, 24)
    places = [plane * width + hz - 1 for plane in range(3) for hz in shown_hz]
    axes.set_xticks(places, [str(hz) for _ in range(3) for hz in shown_hz], fontsize=8)
    for plane, title in enumerate(("mean", "25th percentile", "75th percentile")):
        middle = plane * width + planes.shape[2] / 2 - 0.5
        axes.text(middle, 1.01, title, transform=axes.get_xaxis_transform(), ha="center", fontsize=8)
    return picture


def _draw_image(
    axes: Axes, image: np.ndarray, limits: Limits, extent: tuple[float, float, float, float] | None = None
) -> AxesImage:
    shown = np.ma.masked_invalid(image)
    return axes.imshow(
        shown, cmap=_COLOURS, vmin=limits[0], vmax=limits[1], aspect="auto", extent=extent, interpolation="nearest"
    )


def _side(derivation: str) -> int:
    """Return 0 for the midline, 1 for the left and 2 for the right: electrodes on the left have odd numbers."""
    numbers = [int(letter) for letter in derivation if letter.isdigit()]
    return 0 if not numbers else 2 - numbers[0] % 2
