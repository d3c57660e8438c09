"""Axes are true: a tone of a frequency, at a time, in a derivation is brightest where the ticks say."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from hms_search.eeg.both_pipeline import BothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.fft_pipeline import FftPipeline
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.explain.axes import Axis, panels_of

TONE_HZ, TONE_S = 10, 10
LOUD = ("F4", "C4")
"""A tone between these two is loudest in F4-C4: half as loud in Fp2-F4 and C4-P4."""


def tone(*, at_s: float = TONE_S, width_s: float = 0.7) -> torch.Tensor:
    """White noise and, about ``at_s``, a tone of 10 Hz ``[1, time, 20]``."""
    times = np.arange(10_000) / 200
    eeg = np.random.default_rng(0).normal(0, 1, (10_000, 20))
    wave = 60 * np.sin(2 * np.pi * TONE_HZ * times) * np.exp(-(((times - at_s) / width_s) ** 2))
    eeg[:, ELECTRODES.index(LOUD[0])] += wave
    eeg[:, ELECTRODES.index(LOUD[1])] -= wave
    return torch.from_numpy(eeg.astype(np.float32))[None]


def place(axis: Axis, text: str) -> float:
    return {label: at for at, label in axis.ticks}[text]


def peak(image: torch.Tensor) -> tuple[int, float, float]:
    """The channel of the brightest place, and its row and column in the middle of the pixel."""
    channel, row, column = np.unravel_index(int(image.argmax()), image.shape)
    return int(channel), row + 0.5, column + 0.5


DETAILED: dict[str, Mapping[str, object]] = {
    "chain mel": {"representation": {"name": "chain_mel"}},
    "chain mel, resized": {"representation": {"name": "chain_mel"}, "resize": [400, 700]},
    "log mel": {"representation": {"name": "log_mel", "reference": "unit"}},
    "psd": {"montage": {"name": "radboud"}, "representation": {"name": "psd", "high_hz": 20}},
    "stft": {"scale_uv": 32, "montage": {"name": "double_banana"}, "representation": {"name": "stft"}},
    "zoom": {"montage": {"name": "interleaved16"}, "representation": {"name": "zoom", "contrasts": False}},
}


@pytest.mark.parametrize("case", DETAILED)
def test_a_tone_lies_where_the_ticks_of_channels_say(case: str) -> None:
    pipeline = EegPipeline.model_validate({**DETAILED[case], "layout": {"name": "channels"}})
    image = pipeline.fit([]).forward(tone())[0]
    (panel,) = panels_of(pipeline, (image.shape[1], image.shape[2]), 0)
    assert (panel.kind, panel.top, panel.left) == ("eeg", 0, 0)
    assert (panel.bottom, panel.right) == image.shape[1:]
    channel, row, column = peak(image)
    assert "F4-C4" in dict(panel.channels)[channel]
    assert abs(row - place(panel.rows, f"{TONE_HZ} Hz")) <= max(1, 0.02 * image.shape[1])
    near = [at for at, text in panel.columns.ticks if text == f"{TONE_S} s"]
    assert len(near) == 1
    assert abs(column - near[0]) <= 0.02 * image.shape[2]


def test_a_close_up_has_ticks_of_its_own() -> None:
    pipeline = EegPipeline.model_validate({**DETAILED["zoom"], "layout": {"name": "channels"}})
    image = pipeline.fit([]).forward(tone(at_s=25))[0]
    (panel,) = panels_of(pipeline, (image.shape[1], image.shape[2]), 0)
    ticks = panel.columns.ticks
    assert [text for _, text in ticks] == ["0 s", "10 s", "20 s", "30 s", "30 s", "40 s"]
    _, _, column = peak(image)
    assert abs(column - (ticks[2][0] + ticks[3][0]) / 2) <= 0.02 * image.shape[2]


STACKED: dict[str, tuple[Mapping[str, object], str]] = {
    "chains below one another": ({"representation": {"name": "chain_mel"}}, "Fp2-F4-C4-P4-O2 10 Hz"),
    "with other names": (
        {"montage": {"name": "radboud"}, "representation": {"name": "psd", "high_hz": 20}, "resize": [512, 512]},
        "Fp2-F4-C4-P4-O2 10 Hz",
    ),
    "a grid": (
        {
            "montage": {"name": "double_banana_16"},
            "representation": {"name": "log_mel", "reference": "unit"},
            "layout": {"name": "grid"},
        },
        "Fp2-F4 | F4-C4 | C4-P4 | P4-O2 10 Hz",
    ),
}


@pytest.mark.parametrize("case", STACKED)
def test_a_tone_lies_where_the_ticks_of_stacked_planes_say(case: str) -> None:
    changes, text = STACKED[case]
    pipeline = EegPipeline.model_validate(changes)
    image = pipeline.fit([]).forward(tone())[0]
    (panel,) = panels_of(pipeline, (image.shape[1], image.shape[2]), 0)
    _, row, column = peak(image)
    assert abs(row - place(panel.rows, text)) <= 0.02 * image.shape[1]
    assert min(abs(column - at) for at, label in panel.columns.ticks if label == "10 s") <= 0.02 * image.shape[2]


def test_signals_lie_in_the_rows_of_their_names() -> None:
    pipeline = EegPipeline.model_validate(
        {"montage": {"name": "double_banana"}, "representation": {"name": "waveform", "every": 2, "length": 9600}}
    )
    image = pipeline.fit([]).forward(tone())[0]
    (panel,) = panels_of(pipeline, (image.shape[1], image.shape[2]), 0)
    _, row, column = peak(image.abs())
    assert row == place(panel.rows, "F4-C4")
    assert panel.rows.label == "derivation"
    assert [text for _, text in panel.rows.ticks] == list(pipeline.montage.derivations)
    assert abs(column - place(panel.columns, "10 s")) < 10
    assert place(panel.columns, "10 s") == pytest.approx((10 * 200 - 200) / 2 + 0.5)


def test_an_fft_image_has_derivations_as_rows_and_hertz_as_columns() -> None:
    pipeline = EegPipeline.model_validate(
        {"montage": {"name": "tuh20"}, "representation": {"name": "fft_image"}, "layout": {"name": "channels"}}
    )
    image = pipeline.fit([]).forward(tone(width_s=40))[0]
    (panel,) = panels_of(pipeline, (20, 24), 0)
    assert panel.channels == ((0, "mean"), (1, "25th percentile"), (2, "75th percentile"))
    _, row, column = peak(image[:1])
    assert row == place(panel.rows, "F4-C4")
    assert column == place(panel.columns, "10 Hz")
    (samples,) = panels_of(FftPipeline(statistics=("mean", "std")), (20, 24), 0)
    assert samples.channels == ((0, "mean"), (1, "std"))
    assert (samples.rows, samples.columns) == (panel.rows, panel.columns)


def power(region: int, hz: float, minute: float, n_rows: int = 300) -> torch.Tensor:
    """Log power ``[1, time, 400]`` of 0, of 8 in one region at one frequency and time."""
    log_power = torch.zeros(1, n_rows, 400)
    bin_ = round(hz * 1024 / 200) - 3
    log_power[0, round(minute * 30) - 2 : round(minute * 30) + 2, 100 * region + bin_] = 8
    return log_power


SPECTROGRAMS: dict[str, Mapping[str, object]] = {
    "baseline": {"resize": [400, 300]},
    "resized": {"resize": [512, 512]},
    "regions": {"planes": {"name": "regions"}, "resize": None, "width": 300},
    "Deotte": {"planes": {"name": "regions"}, "width": 256, "margin": 14, "resize": None},
    "padded": {"planes": {"name": "regions"}, "width": 400, "margin": 14, "resize": [300, 500]},
    "side by side": {"layout": {"name": "restack", "columns": 2}, "resize": None, "width": 300},
}


@pytest.mark.parametrize("case", SPECTROGRAMS)
@pytest.mark.parametrize("region", [0, 1, 2, 3])
def test_power_of_a_spectrogram_lies_where_the_ticks_say(case: str, region: int) -> None:
    pipeline = SpectrogramPipeline.model_validate({"normalise": {"name": "none"}, **SPECTROGRAMS[case]})
    image = InputPipeline(config=pipeline).forward(power(region, 10, 4))[0]
    (panel,) = panels_of(pipeline, (image.shape[1], image.shape[2]), 300)
    _, row, column = peak(image)
    name = ("LL", "RL", "LP", "RP")[region]
    assert abs(row - place(panel.rows, f"{name} 10 Hz")) <= 2
    assert min(abs(column - at) for at, text in panel.columns.ticks if text == "4 min") <= 3


def test_differences_are_named_in_the_channels_and_regions_by_their_order() -> None:
    layout = {"layout": {"name": "channels"}, "resize": None}
    ten = SpectrogramPipeline.model_validate({"planes": {"name": "differences"}, **layout})
    (panel,) = panels_of(ten, (100, 300), 300)
    names = [name for _, name in panel.channels]
    assert names == ["LL", "RL", "RP", "LP", "LL - RL", "LL - RP", "LL - LP", "RL - RP", "RL - LP", "RP - LP"]
    four = SpectrogramPipeline.model_validate(
        {"planes": {"name": "regions", "order": ["LL", "LP", "RP", "RL"]}, **layout}
    )
    (panel,) = panels_of(four, (100, 300), 300)
    assert [name for _, name in panel.channels] == ["LL", "LP", "RP", "RL"]
    image = InputPipeline(config=four).forward(power(1, 10, 4))[0]
    channel, row, _ = peak(image)
    assert channel == 3
    assert abs(row - place(panel.rows, "10 Hz")) <= 1


@pytest.mark.parametrize("join", ["beside", "below", "channels"])
def test_a_joined_image_has_a_panel_of_each_kind_that_cover_it(join: str) -> None:
    size = [200, 300]
    pipeline = BothPipeline.model_validate(
        {
            "eeg": {"representation": {"name": "chain_mel"}, "resize": size},
            "spectrogram": {"resize": size},
            "join": join,
            "resize": [256, 384],
        }
    )
    spectrogram, eeg = panels_of(pipeline, (256, 384), 300)
    assert (spectrogram.kind, eeg.kind) == ("spectrogram", "eeg")
    covered = np.zeros((2, 256, 384), int)
    for panel in (spectrogram, eeg):
        for channel, _ in panel.channels:
            covered[channel, panel.top : panel.bottom, panel.left : panel.right] += 1
        assert all(0 <= at <= panel.bottom - panel.top for at, _ in panel.rows.ticks)
        assert all(0 <= at <= panel.right - panel.left for at, _ in panel.columns.ticks)
    assert (covered[: 1 + (join == "channels")] == 1).all()
    assert place(eeg.rows, "Fp1-F7-T3-T5-O1 10 Hz") < place(eeg.rows, "Fp1-F3-C3-P3-O1 10 Hz")
    assert place(spectrogram.columns, "4 min") == pytest.approx(0.4 * (spectrogram.right - spectrogram.left))


def test_the_two_images_of_a_pipeline_that_keeps_them_apart_have_their_own_axes() -> None:
    pipeline = BothPipeline.model_validate({"join": "apart"})
    (eeg,) = panels_of(pipeline, (512, 256), 300, "eeg")
    (spectrogram,) = panels_of(pipeline, (100, 300), 300, "spectrogram")
    assert (eeg.kind, spectrogram.kind) == ("eeg", "spectrogram")
    assert spectrogram.columns.ticks[-1][1].endswith("min")
    assert eeg.columns.ticks[-1][1].endswith(" s")
