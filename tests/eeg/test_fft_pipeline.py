"""From FFT samples to images of statistics."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline

SAMPLES = np.random.default_rng(0).normal(size=(4, 7, 20, 24)).astype(np.float32)


def image(**settings: object) -> np.ndarray:
    fitted = FittedFftPipeline(config=FftPipeline(**settings))
    return fitted.inputs({"fft": torch.from_numpy(SAMPLES)}).numpy()


def test_planes_are_the_statistics_of_numpy() -> None:
    percentiles = {"p10": 10, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "min": 0, "max": 100}
    planes = image(statistics=("mean", "std", *percentiles))
    expected = [SAMPLES.mean(axis=1), SAMPLES.std(axis=1)]
    expected += [np.percentile(SAMPLES, level, axis=1) for level in percentiles.values()]
    np.testing.assert_allclose(planes, np.stack(expected, axis=1), atol=2e-6)


def test_a_single_sample_is_its_own_mean_and_quartiles() -> None:
    fitted = FittedFftPipeline(config=FftPipeline())
    one = torch.from_numpy(SAMPLES[:, :1])
    torch.testing.assert_close(fitted.forward(one), one.expand(-1, 3, -1, -1).clone())


def test_the_shape_is_that_of_the_images() -> None:
    config = FftPipeline(statistics=("p25", "mean"))
    assert (config.shape.channels, *(config.shape.size or ())) == image(statistics=("p25", "mean")).shape[1:]
    assert config.any_length


def test_instance_normalisation_takes_away_what_all_values_share() -> None:
    before = FittedFftPipeline(config=FftPipeline(normalise={"name": "instance"}))
    x = torch.from_numpy(SAMPLES)
    torch.testing.assert_close(before.forward(x), before.forward(3 * x + 5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("statistics", [(), ("mean", "mean"), ("average",)])
def test_statistics_that_make_no_sense_are_refused(statistics: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        FftPipeline(statistics=statistics)
