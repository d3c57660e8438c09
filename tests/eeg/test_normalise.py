import numpy as np
import pytest
import torch

from hms_search.eeg.histogram import Moments
from hms_search.eeg.normalise import Datawide, Instance, Robust, Unnormalised, _quantiles, _quantiles_by_sorting


@pytest.fixture
def x() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).gamma(2, 2, (3, 21, 40)).astype(np.float32))


def test_instance_gives_mean_0_and_population_std_1(x: torch.Tensor) -> None:
    y = Instance().forward(x, None)
    torch.testing.assert_close(y.mean(dim=(1, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=(1, 2), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_instance_ignores_scale_and_offset(x: torch.Tensor) -> None:
    torch.testing.assert_close(Instance().forward(3 * x + 7, None), Instance().forward(x, None), atol=1e-4, rtol=0)


def test_robust_uses_numpys_quartiles(x: torch.Tensor) -> None:
    lower, median, upper = np.quantile(x.numpy(), [0.25, 0.5, 0.75], axis=(1, 2), keepdims=True)
    expected = (x.numpy() - median) / ((upper - lower) / 1.349 + 1e-6)
    np.testing.assert_allclose(Robust().forward(x, None), expected, atol=1e-5)


def test_robust_leaves_gaps_out_of_the_quartiles(x: torch.Tensor) -> None:
    gappy = torch.cat([x, torch.full((3, 5, 40), torch.nan)], dim=1)
    torch.testing.assert_close(Robust().forward(gappy, None)[:, :21], Robust().forward(x, None))


def test_robust_stays_small_on_a_recording_that_lies_mostly_on_the_clip_bound() -> None:
    x = torch.full((1, 20, 400), -6.0)
    x[0, 0] = 10.0
    assert Robust().forward(x, None).abs().max() < 50


def test_datawide_measures_every_recording_by_the_same_statistics(x: torch.Tensor) -> None:
    y = Datawide().forward(x, Moments(2.0, 4.0, 1))
    torch.testing.assert_close(y, (x - 2) / (4 + 1e-6))


def test_datawide_without_statistics_says_so(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="needs the statistics of the training rows"):
        Datawide().forward(x, None)


def test_none_changes_nothing(x: torch.Tensor) -> None:
    assert Unnormalised().forward(x, None) is x


def test_quantiles_by_sorting_as_on_a_gpu_equal_numpys_with_gaps_and_without_any_value(x: torch.Tensor) -> None:
    x[0, 3] = torch.nan
    x[1] = torch.nan
    levels = (0.0, 0.25, 0.5, 0.77, 1.0)
    torch.testing.assert_close(torch.stack(_quantiles_by_sorting(x, levels)), torch.stack(_quantiles(x, levels)))
