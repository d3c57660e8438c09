"""Every real recording, through every representation of several montages and in every layout."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter

from hms_search.data.hms import middle_of, read_log_power, read_microvolts
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline
from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.layout import Channels, Grid, Layout, Restack, Stack
from hms_search.eeg.montage import Montage
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.spectrogram import Representation

pytestmark = pytest.mark.data

CLEANED = {
    "clip_uv": 1024,
    "filters": [{"name": "band_pass", "low_hz": 0.5, "high_hz": 40.0, "phase": "zero"}, {"name": "notch"}],
}
DERIVATIONS = {"deotte": 16, "double_banana": 18, "place15": 24, "transverse": 18, "average": 19}
CHAINS = {"deotte": 4, "double_banana": 5, "place15": 4, "transverse": 5}
REPRESENTATIONS = [member() for member in get_args(get_args(Representation)[0])]
"""All of them with their defaults."""


@pytest.fixture(scope="module")
def windows(shared_data: Path) -> torch.Tensor:
    """All 34 EEGs as 50 s windows: of 16 only the middle ten seconds exist."""
    table = pd.read_csv(shared_data / "iiic" / "train.csv")
    paths = [shared_data / "iiic" / "train_eegs" / f"{eeg_id}.parquet" for eeg_id in table["eeg_id"]]
    eeg = torch.from_numpy(np.stack([middle_of(read_microvolts(path)) for path in paths]))
    assert eeg.shape == (34, 10_000, 20)
    assert eeg[:, :, :19].isnan().all(dim=2).any(dim=1).sum() == 16
    return eeg


@pytest.fixture(scope="module", params=DERIVATIONS)
def derived(request: pytest.FixtureRequest, windows: torch.Tensor) -> tuple[str, torch.Tensor]:
    """The name of a montage and its derivations of all recordings, cleaned."""
    waves = fitted(montage={"name": request.param}, representation={"name": "waveform"})
    return request.param, dict(waves.steps(windows))["montage"]


def fitted(**parts: object) -> FittedEegPipeline:
    config = EegPipeline.model_validate({"source": "eeg", **CLEANED, **parts})
    return config.fit([sections_of(one) for one in config.filters])


def promised(representation: Any, montage: str) -> tuple[int, int, int]:
    """Planes, frequencies and frames of 50 s as the sources have them."""
    n, chains = DERIVATIONS[montage], CHAINS.get(montage, 0)
    shapes = {
        "chain_mel": (chains, 128, 256),
        "log_mel": (n, 128, 257),
        "psd": (chains, 129, 448),
        "stft": (n, 56, 431),
        "fft_image": (3, n, 24),
        "zoom": (3 * n, 64, 852),
        "waveform": (n, 1, 10_000),
    }
    return shapes[representation.name]


def layouts(planes: int, rows: int, columns: int) -> dict[Layout, tuple[int, int, int]]:
    """Every layout that the planes can be laid out in, and the image it makes of them."""
    images: dict[Layout, tuple[int, int, int]] = {
        Channels(): (planes, rows, columns),
        Stack(): (1, planes * rows, columns),
        Stack(channels=3): (3, planes // 3 * rows, columns),
        Restack(): (1, planes * rows // 2, 2 * columns),
        Grid(columns=2): (1, planes // 2 * rows, 2 * columns),
        Grid(columns=4): (1, planes // 4 * rows, 4 * columns),
    }
    return {layout: image for layout, image in images.items() if np.prod(image) == planes * rows * columns}


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=lambda one: one.name)
def test_every_real_recording_makes_a_finite_image_that_says_something(
    representation: Any, derived: tuple[str, torch.Tensor]
) -> None:
    montage, derivations = derived
    shape = promised(representation, montage)
    if shape[0] == 0:
        with pytest.raises(ValueError, match="a montage with chains, found none"):
            representation.forward(derivations, ())
        return
    chains = TypeAdapter(Montage).validate_python({"name": montage}).chains
    for part in derivations.split(12):
        planes = representation.forward(part, chains)
        assert planes.isfinite().all()
        assert planes.flatten(1).std(dim=1).min() > 1e-3
        for layout, size in layouts(*shape).items():
            assert layout.forward(planes).shape == (len(part), *size)


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=lambda one: one.name)
def test_the_pipeline_of_a_representation_makes_one_image_of_each_real_recording(
    representation: Any, windows: torch.Tensor
) -> None:
    run = fitted(representation=representation.to_dict(), normalise={"name": "instance"}, resize=[64, 96])
    images = run.forward(windows)
    assert images.shape == (34, 1, 64, 96)
    assert images.isfinite().all()
    assert images.flatten(1).std(dim=1).min() > 0.01
    pairs = torch.cdist(images.flatten(1), images.flatten(1)) + 1e9 * torch.eye(34)
    assert pairs.min() > 1e-3  # no two recordings look the same


@pytest.mark.parametrize(
    ("planes", "size"), [("file", (1, 400, 300)), ("regions", (4, 100, 300)), ("differences", (10, 100, 300))]
)
def test_every_real_ten_minute_spectrogram_makes_finite_planes_that_say_something(
    planes: str, size: tuple[int, int, int], shared_data: Path
) -> None:
    paths = sorted((shared_data / "iiic" / "train_spectrograms").glob("*.parquet"))
    recorded = torch.from_numpy(np.stack([read_log_power(path) for path in paths]))
    parts = {"planes": {"name": planes}, "layout": {"name": "channels"}, "width": 300, "resize": None}
    images = InputPipeline(config=SpectrogramPipeline.model_validate(parts)).forward(recorded)
    assert images.shape == (16, *size)
    assert images.isfinite().all()
    assert images.flatten(2).std(dim=2).min() > 0.01
