"""Axes of a network's input: which derivations, frequencies and times its rows and columns are.

Ticks are at places in pixels of a panel, edge to edge: the first row reaches from 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hms_search.data.hms import FREQUENCIES_HZ, SPECTROGRAM_STEP_S
from hms_search.eeg.both_pipeline import BothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.electrodes import REGIONS
from hms_search.eeg.fft_image import FftImage
from hms_search.eeg.fft_pipeline import FftPipeline
from hms_search.eeg.layout import Channels, Grid, Layout, Stack
from hms_search.eeg.montage import Bipolar
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.eeg.pipelines import Pipeline
from hms_search.eeg.shapes import Kind
from hms_search.eeg.spectrogram_planes import Differences, WholeFile
from hms_search.explain.representations import Planes, Ticks, planes_of, round_ticks

_FEW_PLANES = 4
"""Up to so many planes below one another, each shows its own frequencies."""


@dataclass(frozen=True)
class Axis:
    """One axis of a panel: what it shows, with its unit, and its ticks."""

    label: str
    ticks: Ticks


@dataclass(frozen=True)
class Panel:
    """A part of a network's input with axes of its own: ``image[channels, top:bottom, left:right]``.

    ``channels`` are the numbers of its channels and what each shows.
    """

    kind: Kind
    channels: tuple[tuple[int, str], ...]
    top: int
    bottom: int
    left: int
    right: int
    rows: Axis
    columns: Axis


def panels_of(pipeline: Pipeline, size: tuple[int, int], length: int, kind: Kind | None = None) -> tuple[Panel, ...]:
    """Return the panels of an image of ``size``: one, but of a joined image two.

    ``length`` is of the recorded spectrogram in rows, and of no matter to EEG; ``kind`` says which of two images.
    """
    if isinstance(pipeline, SpectrogramPipeline):
        return (_panel("spectrogram", _spectrogram(pipeline, length), size),)
    if isinstance(pipeline, EegPipeline):
        return (_panel("eeg", _eeg(pipeline), size),)
    if isinstance(pipeline, FftPipeline):
        return (_panel("fft", _fft(pipeline), size),)
    if pipeline.join == "apart":
        return panels_of(pipeline.eeg if kind == "eeg" else pipeline.spectrogram, size, length)
    return _joined(pipeline, size, length)


@dataclass(frozen=True)
class _Image:
    """An image before it is resized: its height and width, the names of its channels, and its axes."""

    size: tuple[int, int]
    channels: tuple[str, ...]
    rows: Axis
    columns: Axis


def _panel(kind: Kind, image: _Image, size: tuple[int, int]) -> Panel:
    rows = replace(image.rows, ticks=_moved(image.rows.ticks, size[0] / image.size[0]))
    columns = replace(image.columns, ticks=_moved(image.columns.ticks, size[1] / image.size[1]))
    return Panel(kind, tuple(enumerate(image.channels)), 0, size[0], 0, size[1], rows, columns)


def _joined(pipeline: BothPipeline, size: tuple[int, int], length: int) -> tuple[Panel, ...]:
    """Return the panels of spectrogram and EEG in one image, each with its share of it."""
    one, other = _sized(pipeline.spectrogram, length), _sized(pipeline.eeg, length)
    top = left = before = 0  # where the EEG begins
    if pipeline.join == "below":
        top = round(size[0] * one.size[0] / (one.size[0] + other.size[0]))
    elif pipeline.join == "beside":
        left = round(size[1] * one.size[1] / (one.size[1] + other.size[1]))
    else:
        before = len(one.channels)
    spectrogram = _panel("spectrogram", one, (top or size[0], left or size[1]))
    eeg = _panel("eeg", other, (size[0] - top, size[1] - left))
    channels = tuple((number + before, name) for number, name in eeg.channels)
    return spectrogram, replace(eeg, channels=channels, top=top, bottom=size[0], left=left, right=size[1])


def _sized(pipeline: SpectrogramPipeline | EegPipeline, length: int) -> _Image:
    """Return one source's image after its own resize."""
    image = _spectrogram(pipeline, length) if isinstance(pipeline, SpectrogramPipeline) else _eeg(pipeline)
    size = pipeline.resize or image.size
    panel = _panel("eeg", image, size)
    return _Image(size, image.channels, panel.rows, panel.columns)


def _eeg(pipeline: EegPipeline) -> _Image:
    return _laid_out(planes_of(pipeline.representation, pipeline.montage), pipeline.layout)


def _fft(pipeline: FftPipeline) -> _Image:
    planes = planes_of(FftImage(), Bipolar(name="tuh20"))
    return _Image(
        (20, 24), pipeline.statistics, Axis(planes.rows_label, planes.rows), Axis(planes.columns_label, planes.columns)
    )


def _spectrogram(pipeline: SpectrogramPipeline, length: int) -> _Image:
    width = pipeline.width or length
    missing = width - length
    before = missing // 2 if missing > 0 else -(-missing // 2)
    minutes = (np.arange(width) - before + 0.5) * SPECTROGRAM_STEP_S / 60
    columns = round_ticks(minutes, "min", least=0.0, most=length * SPECTROGRAM_STEP_S / 60)
    hz = round_ticks(np.array(FREQUENCIES_HZ), "Hz")
    if isinstance(pipeline.planes, WholeFile):
        ticks = _below(REGIONS, hz, len(FREQUENCIES_HZ))
        n_rows, names, label = len(REGIONS) * len(FREQUENCIES_HZ), ["power"], "region and frequency"
    else:
        ticks, n_rows, label = hz, len(FREQUENCIES_HZ), "frequency"
        names = _regions(pipeline)
    rows = _moved(ticks, 1, pipeline.margin)
    planes = Planes(tuple(names), n_rows + 2 * pipeline.margin, width, rows, columns, label, "time")
    return _laid_out(planes, pipeline.layout)


def _regions(pipeline: SpectrogramPipeline) -> list[str]:
    if isinstance(pipeline.planes, Differences):
        order = ("LL", "RL", "RP", "LP")
        return [*order, *(f"{one} - {other}" for one, other in combinations(order, 2))]
    return list(REGIONS if isinstance(pipeline.planes, WholeFile) else pipeline.planes.order)


def _laid_out(planes: Planes, layout: Layout) -> _Image:
    """Return the image that a layout makes of planes."""
    count = len(planes.names)
    if isinstance(layout, Channels):
        rows, columns = Axis(planes.rows_label, planes.rows), Axis(planes.columns_label, planes.columns)
        return _Image((planes.height, planes.width), planes.names, rows, columns)
    if isinstance(layout, Stack):
        high = count // layout.channels
        names = [_shared(planes.names[row::high]) for row in range(high)]
        return _stacked(planes, names, layout.channels, side_by_side=1, height=planes.height)
    if isinstance(layout, Grid):
        names = [" | ".join(planes.names[row : row + layout.columns]) for row in range(0, count, layout.columns)]
        return _stacked(planes, names, 1, side_by_side=layout.columns, height=planes.height)
    squeezed = replace(planes, rows=_moved(planes.rows, 1 / layout.columns))
    return _stacked(squeezed, planes.names, 1, side_by_side=layout.columns, height=planes.height / layout.columns)


def _stacked(planes: Planes, names: Sequence[str], channels: int, *, side_by_side: int, height: float) -> _Image:
    several = len(names) > 1
    ticks = _below(names, planes.rows, height) if several else planes.rows
    label = planes.rows_label
    if several:
        label = f"{planes.names_label}, {planes.rows_label} in each" if planes.rows else planes.names_label
    columns = tuple(tick for number in range(side_by_side) for tick in _moved(planes.columns, 1, number * planes.width))
    size = round(len(names) * height), side_by_side * planes.width
    shown = tuple(f"channel {number}" for number in range(channels)) if channels > 1 else ("all",)
    return _Image(size, shown, Axis(label, ticks), Axis(planes.columns_label, columns))


def _below(names: Sequence[str], ticks: Ticks, height: float) -> Ticks:
    """Return the ticks of planes below one another: their own where they are few, else the planes' names."""
    if len(names) > _FEW_PLANES or not ticks:
        return tuple(((row + 0.5) * height, name) for row, name in enumerate(names))
    return tuple((row * height + place, f"{name} {text}") for row, name in enumerate(names) for place, text in ticks)


def _shared(names: Sequence[str]) -> str:
    """Return the name of planes in the same place of several channels; contrasts are named by what they are of."""
    first = names[0]
    return first if all(name.startswith(first) for name in names) else ", ".join(names)


def _moved(ticks: Ticks, factor: float, by: float = 0) -> Ticks:
    return tuple((place * factor + by, text) for place, text in ticks)
