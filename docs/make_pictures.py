"""Draw real recordings as the networks see them: ``python docs/make_pictures.py FOLDER``.

FOLDER has ``train.csv``, ``train_eegs`` and ``train_spectrograms``. One page per representation: for each of the six
classes the recording that the experts agree on most, its labelled ten seconds in the double banana beside the planes
that a pipeline makes of the whole recording. Written to ``docs/pictures``.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from drawing import FILTERED, LABELLED_S, Limits, draw_statistics, draw_strips, draw_time, draw_traces
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from hms_search.data.hms import FREQUENCIES_HZ, middle_of, read_log_power, read_microvolts
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.pipeline import SpectrogramPipeline

PICTURES = Path(__file__).parent / "pictures"
CREDIT = "EEG and votes: bdsp-core/IIIC-SPaRCNet and IIIC-IRR (ODC-By 1.0), Jing et al., Neurology 2023"
CLASSES = {"seizure": "Seizure", "lpd": "LPD", "gpd": "GPD", "lrda": "LRDA", "grda": "GRDA", "other": "Other"}
CHAINS = ("left lateral", "left parasagittal", "right lateral", "right parasagittal")
CLEAREST = (900000021, 900000019, 900000038)
"""Of recordings with equal votes, those that show their class best: another "Other" is mains hum alone."""
REGIONS = ("left lateral", "right lateral", "left parasagittal", "right parasagittal")


@dataclass(frozen=True)
class Shown:
    """A recording: its class and votes, EEG in microvolts, and ten-minute spectrogram where there is one."""

    title: str
    eeg: torch.Tensor
    log_power: torch.Tensor | None


@dataclass(frozen=True)
class Page:
    """A representation: what it makes of a recording, how that is drawn, and what the axes mean."""

    title: str
    planes: Callable[[Shown], np.ndarray]
    draw: Callable[[Axes, np.ndarray, Limits], AxesImage]
    unit: str
    along: str = "time (s)"
    row_inches: float = 3.1


def eeg_page(
    title: str,
    unit: str,
    parts: Mapping[str, object],
    *,
    high_hz: float,
    chains: bool = False,
    row_inches: float = 3.1,
) -> Page:
    """Return the page of a representation with a time axis, its planes one below the other."""
    config = EegPipeline.model_validate({**FILTERED, "layout": {"name": "channels"}, **parts})
    labels = CHAINS if chains else config.montage.derivations

    def draw(axes: Axes, planes: np.ndarray, limits: Limits) -> AxesImage:
        picture = draw_strips(axes, planes, limits, labels=labels, hz=(0, high_hz), last_s=50)
        draw_time(axes, range(0, 51, 5), [str(second) for second in range(0, 51, 5)], LABELLED_S)
        return picture

    return Page(title, partial(planes_of_eeg, config), draw, unit, row_inches=row_inches)


def zoom_page() -> Page:
    """Return the page of the 3rd place's close-up: between 20 and 30 s a second is eight times as wide."""
    parts = {"montage": {"name": "interleaved16"}, "representation": {"name": "zoom", "contrasts": False}}
    config = EegPipeline.model_validate({**FILTERED, "layout": {"name": "channels"}, "scale_uv": 32, **parts})

    def column(second: float) -> float:
        if LABELLED_S[0] <= second <= LABELLED_S[1]:
            return 125 + (second - 19) / 0.02  # the close-up starts at 19 s, a column is 4 samples
        return second / 0.16 + (0 if second < LABELLED_S[0] else 726 - 187)

    def draw(axes: Axes, planes: np.ndarray, limits: Limits) -> AxesImage:
        labels, last = config.montage.derivations, planes.shape[2]
        picture = draw_strips(axes, planes, limits, labels=labels, hz=(0.53, 30), last_s=last)
        seconds = (0, 5, 10, 15, *range(20, 31), 35, 40, 45, 50)
        labelled = (column(LABELLED_S[0]), column(LABELLED_S[1]))
        draw_time(axes, [column(second) for second in seconds], [str(second) for second in seconds], labelled)
        return picture

    title = "zoom: mel spectrograms of 16 derivations, the middle 12 s drawn finer (3rd place)"
    return Page(title, partial(planes_of_eeg, config), draw, "dB / 50 + 1", row_inches=3.6)


def fft_image_page() -> Page:
    """Return the page of the hackathon's image, which has no time axis."""
    parts = {"montage": {"name": "tuh20"}, "representation": {"name": "fft_image"}, "layout": {"name": "channels"}}
    config = EegPipeline.model_validate({**FILTERED, **parts})
    title = "fft_image: magnitude over 1 s windows, 20 derivations (hackathon)"
    draw = partial(draw_statistics, labels=config.montage.derivations)
    return Page(title, partial(planes_of_eeg, config), draw, "log10 of magnitude (µV)", "frequency (Hz)", 3.4)


def spectrogram_page() -> Page:
    """Return the page of the files' ten-minute spectrogram, clipped as in Deotte's starter and normalised."""
    config = SpectrogramPipeline.model_validate({"clip_log": {"low": -4, "high": 8}, "resize": None})

    def planes(shown: Shown) -> np.ndarray:
        assert shown.log_power is not None
        image = config.fit(np.zeros(0, dtype=np.int64)).forward(shown.log_power)
        return image.reshape(4, 100, -1).numpy()

    def draw(axes: Axes, planes: np.ndarray, limits: Limits) -> AxesImage:
        hz = (FREQUENCIES_HZ[0], FREQUENCIES_HZ[-1])
        picture = draw_strips(axes, planes, limits, labels=REGIONS, hz=hz, last_s=600)
        minutes = range(11)
        draw_time(axes, [60.0 * minute for minute in minutes], [str(minute) for minute in minutes], (295, 305))
        return picture

    title = "spectrogram: the ten minutes about the labelled seconds, of the four regions"
    return Page(title, planes, draw, "ln power, standardised", "time (min)")


def pages() -> dict[str, Page]:
    """Return every page by the name of its picture."""
    deotte, decibels = {"montage": {"name": "deotte"}}, "(dB below the derivation's maximum + 40) / 40"
    psd = {"name": "psd", "low_hz": 0.5, "high_hz": 30}
    return {
        "chain_mel": eeg_page(
            "chain_mel: mel spectrograms, mean over the four derivations of each chain (Deotte)",
            decibels,
            deotte,
            high_hz=20,
            chains=True,
        ),
        "psd": eeg_page(
            "psd: SciPy's power spectral density, mean over each chain (Radboud), up to 30 Hz",
            "ln of density (µV²)",
            {**deotte, "representation": psd},
            high_hz=30,
            chains=True,
        ),
        "log_mel": eeg_page(
            "log_mel: a mel spectrogram of each derivation (98th place)",
            decibels,
            {"montage": {"name": "double_banana"}, "representation": {"name": "log_mel"}},
            high_hz=20,
            row_inches=3.6,
        ),
        "stft": eeg_page(
            "stft: short-time Fourier transform of 24 derivations (15th place, variant A)",
            "(ln(1 + power) - 7.5) / 7.5, signals in units of 32 µV",
            {"scale_uv": 32, "montage": {"name": "place15"}, "representation": {"name": "stft"}},
            high_hz=40,
            row_inches=3.9,
        ),
        "zoom": zoom_page(),
        "fft_image": fft_image_page(),
        "spectrogram": spectrogram_page(),
    }


def planes_of_eeg(config: EegPipeline, shown: Shown) -> np.ndarray:
    """Return the planes that a pipeline makes of a recording."""
    return config.fit([sections_of(one) for one in config.filters]).forward(shown.eeg)[0].numpy()


def read(root: Path, row: "pd.Series[float]", class_name: str) -> Shown:
    """Return the recordings of a line of the table."""
    eeg_id, votes = int(row["eeg_id"]), row[list(VOTE_COLUMNS)].astype(int)
    said = ", ".join(f"{CLASSES[str(name).removesuffix('_vote')]} {count}" for name, count in votes.items() if count)
    eeg = torch.from_numpy(middle_of(read_microvolts(root / "train_eegs" / f"{eeg_id}.parquet")))[None]
    log_power = None
    if pd.notna(row["spectrogram_id"]):
        path = root / "train_spectrograms" / f"{int(row['spectrogram_id'])}.parquet"
        log_power = torch.from_numpy(read_log_power(path))[None]
    return Shown(f"{CLASSES[class_name]}   (EEG {eeg_id}; votes: {said})", eeg, log_power)


def most_agreed(root: Path, table: pd.DataFrame) -> list[Shown]:
    """Return for each class the recording with the largest share of votes for it; of equals the one with more votes."""
    votes = table[list(VOTE_COLUMNS)]
    chosen = []
    for name in CLASSES:
        ranked = table.assign(
            share=votes[f"{name}_vote"] / votes.sum(axis=1),
            votes=votes.sum(axis=1),
            clear=table["eeg_id"].isin(CLEAREST),
        ).sort_values(["share", "votes", "clear", "eeg_id"], ascending=[False, False, False, True])
        chosen.append(read(root, ranked.iloc[0], name))
    return chosen


def draw_eeg(recordings: list[Shown]) -> Figure:
    """Return 15 s of each recording in the double banana, about as wide as a page at the bedside."""
    figure = Figure(figsize=(14, 15), dpi=72, layout="constrained")
    for axes, shown in zip(figure.subplots(3, 2).ravel(), recordings, strict=True):
        draw_traces(axes, shown.eeg, (17.5, 32.5))
        axes.set_title(shown.title, loc="left", fontsize=9, fontweight="bold")
        axes.set_xlabel("time (s)", fontsize=8)
        axes.axvspan(*LABELLED_S, color="tab:green", alpha=0.08)
    figure.suptitle("Double banana, 0.5-40 Hz, 100 µV between traces, negative up; the labelled 10 s shaded")
    return figure


def draw_page(page: Page, recordings: list[Shown]) -> Figure:
    """Return a row for each recording: its labelled ten seconds, and its planes; colours mean the same in all rows."""
    planes = [page.planes(shown) for shown in recordings]
    low, high = np.percentile(np.concatenate([each.ravel() for each in planes]), [1, 99.5])
    figure = Figure(figsize=(12, len(recordings) * page.row_inches + 0.8), dpi=72, layout="constrained")
    grid = figure.subplots(len(recordings), 2, width_ratios=(1, 1.3))
    for (left, right), shown, each in zip(grid, recordings, planes, strict=True):
        draw_traces(left, shown.eeg, LABELLED_S)
        left.set_title(shown.title, loc="left", fontsize=9, fontweight="bold")
        picture = page.draw(right, each, (float(low), float(high)))
    grid[-1, 0].set_xlabel("time (s); double banana, 0.5-40 Hz, 100 µV between traces, negative up", fontsize=8)
    grid[-1, 1].set_xlabel(page.along, fontsize=8)
    bar = figure.colorbar(picture, ax=grid[:, 1].tolist(), shrink=0.3, aspect=40)
    bar.set_label(page.unit, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(page.title)
    return figure


def save(name: str, figure: Figure) -> None:
    """Write a figure as a PNG of 96 colours, a third of the size of one of all."""
    figure.supxlabel(CREDIT, x=0.998, ha="right", fontsize=8, color="grey")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    path = PICTURES / f"{name}.png"
    image.quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, f"{path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Draw all pictures."""
    root = Path(sys.argv[1])
    table = pd.read_csv(root / "train.csv")
    whole = most_agreed(root, table[table["eeg_seconds"] >= 50])
    with_spectrogram = most_agreed(root, table[table["spectrogram_id"].notna()])
    PICTURES.mkdir(exist_ok=True)
    save("double_banana", draw_eeg(whole))
    for name, page in pages().items():
        save(name, draw_page(page, with_spectrogram if name == "spectrogram" else whole))


if __name__ == "__main__":
    main()
