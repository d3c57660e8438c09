"""The pipeline of EEG as a whole: any combination makes finite images, the same for a recording whatever the batch."""

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hms_search.data.fitting import fit_pipeline
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline
from hms_search.eeg.montage import Bipolar
from hms_search.eeg.shapes import ImageShape, Kind

CPU = torch.device("cpu")
FILTERS = [{"name": "band_pass", "phase": "zero"}, {"name": "notch"}]
MONTAGES = (*get_args(Bipolar.model_fields["name"].annotation), "average", "electrodes")
REPRESENTATIONS = ("chain_mel", "log_mel", "psd", "stft", "fft_image", "zoom", "waveform")


class Recorded:
    """Noise of different loudness, the second recording with only its middle ten seconds."""

    def __init__(self, n: int = 6) -> None:
        rng = np.random.default_rng(0)
        self.values = (rng.normal(0, 30, (n, 10_000, 20)) * np.arange(1, n + 1)[:, None, None]).astype(np.float16)
        self.values[1, :4000] = self.values[1, 6000:] = np.nan

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        return {"eeg": self.values[row]}

    def histograms(self) -> np.ndarray:
        raise AssertionError("EEG has no histograms")


def pipeline(**changes: object) -> EegPipeline:
    return EegPipeline.model_validate({"source": "eeg", **changes})


def fitted(config: EegPipeline, recorded: Recorded | None = None) -> FittedEegPipeline:
    recorded = recorded or Recorded(2)
    found = fit_pipeline(config, recorded, np.arange(len(recorded.values)), device=CPU)
    assert isinstance(found, FittedEegPipeline)
    return found


def fits(montage: str, representation: str) -> bool:
    chains = montage not in {"average", "electrodes"}
    return chains or representation not in {"chain_mel", "psd"}


@pytest.mark.parametrize(("montage", "representation"), list(itertools.product(MONTAGES, REPRESENTATIONS)))
def test_what_fits_together_makes_finite_images_and_the_rest_is_refused_on_loading(
    montage: str, representation: str
) -> None:
    parts = {"montage": {"name": montage}, "representation": {"name": representation}, "filters": FILTERS}
    if not fits(montage, representation):
        with pytest.raises(ValidationError, match="chain"):
            pipeline(**parts)
        return
    run = fitted(pipeline(**parts, clip_uv=1024, normalise={"name": "instance"}, resize=[32, 48]))
    assert run.config.shape == ImageShape(1, (32, 48))
    extremes = torch.zeros(5, 10_000, 20, dtype=torch.float16)
    extremes[1] = torch.nan
    extremes[2] = 65504
    extremes[3, ::2], extremes[3, 1::2] = 65504, -65504
    extremes[4] = torch.from_numpy(Recorded(2).values[1])
    images = run.forward(extremes)
    assert images.shape == (5, 1, 32, 48)
    assert images.isfinite().all()


def test_a_recordings_image_does_not_depend_on_the_batch() -> None:
    run = fitted(pipeline(filters=FILTERS, denoise="db8", gap_fill="interpolate"))
    x = torch.from_numpy(Recorded().values)
    alone = torch.cat([run.forward(recording[None]) for recording in x])
    torch.testing.assert_close(run.forward(x), alone, atol=1e-5, rtol=0)


def test_datawide_statistics_are_those_of_the_training_rows_images() -> None:
    recorded = Recorded()
    config = pipeline(representation={"name": "stft"}, scale_uv=32, normalise={"name": "datawide"})
    rows = np.array([0, 2, 3])
    run = fit_pipeline(config, recorded, rows, device=CPU)
    assert isinstance(run, FittedEegPipeline)
    images = run.unnormalised({"eeg": torch.from_numpy(recorded.values[rows])}).double()
    assert run.mean == pytest.approx(float(images.mean()), rel=1e-6)
    assert run.std == pytest.approx(float(images.std(correction=0)), rel=1e-6)
    normal = run.forward(torch.from_numpy(recorded.values[rows]))
    assert float(normal.mean()) == pytest.approx(0, abs=1e-4)
    assert float(normal.std()) == pytest.approx(1, abs=1e-3)


def test_a_fitted_pipeline_survives_json_to_the_last_bit() -> None:
    run = fitted(pipeline(filters=FILTERS, normalise={"name": "datawide"}), Recorded(3))
    again = FittedEegPipeline.model_validate_json(run.model_dump_json())
    x = torch.from_numpy(Recorded(3).values)
    assert again == run
    torch.testing.assert_close(again.forward(x), run.forward(x), atol=0, rtol=0)


def test_the_steps_end_with_the_image_and_name_what_was_asked_for() -> None:
    run = fitted(pipeline(filters=FILTERS, clip_uv=500, scale_uv=32, denoise="db8", resize=[64, 64]))
    steps = list(run.steps(torch.from_numpy(Recorded(2).values)))
    names = ["microvolts", "gap fill", "clip", "scale", "band_pass", "notch", "montage", "denoise", "representation"]
    assert [name for name, _ in steps] == [*names, "layout", "normalise", "resize"]
    torch.testing.assert_close(steps[-1][1], run.forward(torch.from_numpy(Recorded(2).values)))


def test_planes_that_cannot_be_laid_out_are_refused_on_loading() -> None:
    with pytest.raises(ValidationError, match="grid cannot share 18 planes out to 4 columns evenly"):
        pipeline(montage={"name": "double_banana"}, representation={"name": "log_mel"}, layout={"name": "grid"})
