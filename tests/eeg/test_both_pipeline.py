from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from eeg_signals import DEOTTE, real_derivations
from pydantic import ValidationError

from hms_search.eeg.both_pipeline import BothPipeline, FittedBothPipeline
from hms_search.eeg.histogram import log_power
from hms_search.eeg.mel import ChainMel
from hms_search.eeg.pipeline import InputPipeline
from hms_search.eeg.shapes import ImageShape

DEOTTE_SPECTROGRAM = {
    "source": "spectrogram",
    "planes": {"name": "regions"},
    "gap_fill": "mean",
    "clip_log": {"low": -4, "high": 8},
    "normalise": {"name": "instance"},
    "scale": 2,
    "width": 256,
    "margin": 14,
    "resize": None,
}
DEOTTE_BOTH = {"source": "both", "join": "beside", "eeg": {}, "spectrogram": DEOTTE_SPECTROGRAM}


def fitted(config: dict[str, object]) -> FittedBothPipeline:
    pipeline = BothPipeline.model_validate(config)
    spectrogram = InputPipeline(config=pipeline.spectrogram)
    return FittedBothPipeline(config=pipeline, eeg=pipeline.eeg.fit([]), spectrogram=spectrogram)


def recordings(n: int = 2, n_times: int = 300) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "eeg": 50 * torch.randn(n, 10_000, 20, generator=generator),
        "spectrogram": 3 * torch.randn(n, n_times, 400, generator=generator),
    }


@pytest.mark.data
def test_deottes_planes_of_a_real_recording_equal_the_reference_array(shared_data: Path) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")["deotte_kaggle_planes"]
    file = pd.read_parquet(shared_data / "iiic" / "train_spectrograms" / "800000025.parquet")
    power = torch.from_numpy(log_power(file.drop(columns="time").to_numpy()))[None]
    pipeline = fitted(DEOTTE_BOTH)
    image = pipeline.spectrogram.forward(power)
    assert image.shape == (1, 1, 512, 256)
    np.testing.assert_allclose(image[0, 0].reshape(4, 128, 256).permute(1, 2, 0), expected, atol=1e-5)
    eeg = pd.read_parquet(shared_data / "iiic" / "train_eegs" / "900000001.parquet").to_numpy()
    start = (len(eeg) - 10_000) // 2
    both = pipeline.inputs({"eeg": torch.tensor(eeg[None, start : start + 10_000]), "spectrogram": power})
    assert isinstance(both, torch.Tensor)
    assert both.shape == (1, 1, 512, 512)
    mel = ChainMel().forward(real_derivations(shared_data, 900000001), DEOTTE.chains)
    torch.testing.assert_close(both[0, 0, 128:256, 256:], mel[0, 1])
    torch.testing.assert_close(both[..., :256], image)


@pytest.mark.parametrize(
    ("join", "expected"),
    [("beside", (1, 512, 512)), ("below", (1, 1024, 256)), ("channels", (2, 512, 256))],
)
def test_a_join_makes_one_image_of_the_shape_it_says(join: str, expected: tuple[int, int, int]) -> None:
    pipeline = fitted({**DEOTTE_BOTH, "join": join})
    image = pipeline.inputs(recordings())
    assert isinstance(image, torch.Tensor)
    assert image.shape == (2, *expected)
    assert pipeline.config.shape == ImageShape(expected[0], expected[1:])
    resized = fitted({**DEOTTE_BOTH, "join": join, "resize": [64, 32]})
    small = resized.inputs(recordings())
    assert isinstance(small, torch.Tensor)
    assert small.shape == (2, expected[0], 64, 32)
    assert resized.config.shape == ImageShape(expected[0], (64, 32))


def test_images_apart_are_those_of_the_two_pipelines() -> None:
    pipeline = fitted({"source": "both", "join": "apart", "spectrogram": DEOTTE_SPECTROGRAM})
    found = pipeline.inputs(recordings())
    assert isinstance(found, dict)
    torch.testing.assert_close(found["eeg"], pipeline.eeg.forward(recordings()["eeg"]), rtol=0, atol=0)
    torch.testing.assert_close(
        found["spectrogram"], pipeline.spectrogram.forward(recordings()["spectrogram"]), rtol=0, atol=0
    )
    assert pipeline.config.shape == {"eeg": ImageShape(1, (512, 256)), "spectrogram": ImageShape(1, (512, 256))}


def test_a_fitted_pipeline_of_both_comes_back_from_json_and_makes_the_same_input() -> None:
    pipeline = fitted(DEOTTE_BOTH)
    again = FittedBothPipeline.model_validate(pipeline.to_dict())
    torch.testing.assert_close(again.inputs(recordings()), pipeline.inputs(recordings()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"spectrogram": {"resize": [100, 256]}},
            "found 1 x 100 x 256 of the spectrogram and 1 x 512",
        ),
        ({"spectrogram": {"resize": None}}, "join beside needs spectrograms of one size"),
        ({"join": "apart", "resize": [64, 64]}, "resize is of the joined image"),
    ],
)
def test_a_join_that_cannot_be_is_refused_with_what_to_change(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BothPipeline.model_validate({**DEOTTE_BOTH, **change})
