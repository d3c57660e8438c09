"""Draw a real recording through every EEG representation: ``python docs/make_pictures.py FOLDER [EEG_ID]``.

FOLDER has ``train.csv`` and ``train_eegs``. One picture per representation, as a network gets it, with axes in seconds
and Hz and the labelled ten seconds between two lines; and the EEG itself in the double banana at clinical scale.
Written to ``docs/pictures``.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hms_search.data.hms import middle_of, read_microvolts
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.montage import derive

PICTURES = Path(__file__).parent / "pictures"
CREDIT = "EEG: bdsp-core/IIIC-SPaRCNet (ODC-By 1.0), Jing et al., Neurology 2023"
LABELLED_S = (20, 30)
FILTERED = {"clip_uv": 1024, "filters": [{"name": "band_pass", "low_hz": 0.5, "high_hz": 40.0, "phase": "zero"}]}
CHAINS = ("left lateral", "left parasagittal", "right lateral", "right parasagittal")
REPRESENTATIONS: dict[str, tuple[dict[str, object], float, str]] = {
    # name: pipeline, highest frequency in Hz, unit of the colours
    "chain_mel": ({"montage": {"name": "deotte"}}, 20, "(dB + 40) / 40"),
    "psd": ({"montage": {"name": "deotte"}, "representation": {"name": "psd", "high_hz": 30}}, 30, "ln density"),
    "log_mel": ({"montage": {"name": "double_banana_16"}}, 20, "(dB + 40) / 40"),
    "stft": ({"scale_uv": 32, "montage": {"name": "place15"}}, 40, "scaled ln power"),
    "zoom": (
        {"montage": {"name": "interleaved16"}, "representation": {"name": "zoom", "contrasts": False}},
        30,
        "scaled dB",
    ),
    "fft_image": ({"montage": {"name": "tuh20"}}, 24, "log10 magnitude"),
}


def draw_eeg(eeg: torch.Tensor, title: str) -> Figure:
    """Return 15 s of the double banana, 10 µV a millimetre by eye, time downwards labelled in seconds."""
    pipeline = EegPipeline.model_validate({"source": "eeg", **FILTERED, "montage": {"name": "double_banana"}})
    fitted = pipeline.fit([sections_of(one) for one in pipeline.filters])
    filtered = next(x for name, x in fitted.steps(eeg) if name == "band_pass")
    shown = derive(filtered, pipeline.montage.matrix())[0, :, 3500:6500].numpy()
    figure = Figure(figsize=(11, 7), dpi=72, layout="tight")
    axes = figure.add_subplot()
    spacing_uv = 150.0
    for row, signal in enumerate(shown):
        axes.plot(np.arange(len(signal)) / 200 + 17.5, signal - row * spacing_uv, color="black", linewidth=0.6)
    axes.set_yticks([-row * spacing_uv for row in range(len(shown))], pipeline.montage.derivations, fontsize=8)
    axes.plot([32.2, 32.2], [-17 * spacing_uv, -17 * spacing_uv + 200], color="tab:red", linewidth=2)
    axes.text(32.0, -17 * spacing_uv + 100, "200 µV", color="tab:red", ha="right", fontsize=8)
    axes.axvspan(*LABELLED_S, color="tab:blue", alpha=0.06)
    axes.set(xlim=(17.5, 32.5), xlabel="time (s); the labelled ten seconds are shaded", title=title)
    return figure


def draw_planes(name: str, eeg: torch.Tensor, title: str) -> Figure:
    """Return a panel per plane of a representation: frequency upwards, time to the right."""
    changes, high_hz, unit = REPRESENTATIONS[name]
    chosen = {"representation": {"name": name}, "layout": {"name": "channels"}, **changes}
    pipeline = EegPipeline.model_validate({"source": "eeg", **FILTERED, **chosen})
    planes = pipeline.fit([sections_of(one) for one in pipeline.filters]).forward(eeg)[0].numpy()
    labels = CHAINS if len(planes) == 4 else pipeline.montage.derivations
    if name == "fft_image":
        labels = ("mean", "25th percentile", "75th percentile")
    columns = {3: 3, 4: 1}.get(len(planes), 4)
    rows = -(-len(planes) // columns)
    height = {1: 2.2 * rows, 3: 4.5}.get(columns, 1.6 * rows)
    figure = Figure(figsize=(11, height), dpi=72, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, plane, label in zip(panels, planes, labels, strict=False):
        picture = _panel(axes, name, plane, high_hz, pipeline.montage.derivations)
        axes.set_title(label, fontsize=8)
    figure.colorbar(picture, ax=panels.tolist(), label=unit)
    figure.suptitle(title)
    along = {"fft_image": "frequency (Hz)", "zoom": "column; between the steep steps the middle 12 s, drawn finer"}
    figure.supxlabel(along.get(name, "time (s)"))
    figure.supylabel("derivation" if name == "fft_image" else "frequency (Hz)")
    return figure


def _panel(axes: Axes, name: str, plane: np.ndarray, high_hz: float, derivations: tuple[str, ...]) -> object:
    if name == "fft_image":
        axes.set_yticks(range(len(derivations)), derivations, fontsize=6)
        return axes.imshow(
            plane, aspect="auto", extent=(0.5, high_hz + 0.5, len(derivations) - 0.5, -0.5), cmap="viridis"
        )
    if name == "zoom":  # the close-up is not to scale: its columns are finer
        return axes.imshow(plane, aspect="auto", origin="lower", extent=(0, plane.shape[1], 0, high_hz))
    for edge in LABELLED_S:
        axes.axvline(edge, color="white", linewidth=0.8)
    return axes.imshow(plane, aspect="auto", origin="lower", extent=(0, 50, 0, high_hz))


def main() -> None:
    """Draw all pictures."""
    root = Path(sys.argv[1])
    table = pd.read_csv(root / "train.csv")
    eeg_id = int(sys.argv[2]) if len(sys.argv) > 2 else int(table["eeg_id"].iloc[0])
    votes = table.loc[table["eeg_id"] == eeg_id, list(VOTE_COLUMNS)].sum()
    said = ", ".join(f"{name.removesuffix('_vote')} {count}" for name, count in votes.items() if count)
    eeg = torch.from_numpy(middle_of(read_microvolts(root / "train_eegs" / f"{eeg_id}.parquet")))[None]
    PICTURES.mkdir(exist_ok=True)
    figures = {"double_banana": draw_eeg(eeg, f"double banana, 0.5-40 Hz; votes: {said}")}
    figures |= {name: draw_planes(name, eeg, f"{name}; votes: {said}") for name in REPRESENTATIONS}
    for name, figure in figures.items():
        figure.text(0.995, 0.002, CREDIT, ha="right", fontsize=6, color="grey")
        FigureCanvasAgg(figure).print_png(PICTURES / f"{name}.png")
        print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
