import pytest
import torch
from augment.conftest import MakeRecordings

from hms_search.augment import Recordings
from hms_search.augment.amplitude import EdgeNoise, HeadScale, PolarityInversion
from hms_search.eeg.eeg_pipeline import EegPipeline


def constant(n: int, n_times: int, value: float) -> Recordings:
    return Recordings(torch.full((n, n_times, 20), value), None, torch.full((n, 6), 1 / 6), torch.ones(n))


def test_a_head_is_scaled_by_one_number_drawn_evenly_from_the_spread() -> None:
    after = HeadScale().forward(constant(2000, 3, 100.0), torch.Generator().manual_seed(0)).eeg
    assert after is not None
    assert (after == after[:, :1, :1]).all()
    scales = after[:, 0, 0] / 100
    assert 1 - 0.0375 <= scales.min() < 1 - 0.036
    assert 1 + 0.036 < scales.max() <= 1 + 0.0375
    assert abs(scales.mean() - 1) < 0.002


def test_noise_of_a_difference_has_a_third_of_its_strength_in_the_middle_and_more_at_the_edges() -> None:
    after = EdgeNoise().forward(constant(40, 1000, 0.0), torch.Generator().manual_seed(0)).eeg
    assert after is not None
    differences = (after[..., 0::2] - after[..., 1::2]) / 32  # the 15th place's unit
    middle, edges = differences[:, 480:520].std(), differences[:, [*range(20), *range(980, 1000)]].std()
    at_the_edge = 1 - torch.exp(torch.tensor(-(490**2) / (2 * 300**2)))
    torch.testing.assert_close(middle, torch.tensor(0.005), rtol=0.03, atol=0)
    torch.testing.assert_close(edges, (0.005**2 + (0.015 * at_the_edge) ** 2).sqrt(), rtol=0.03, atol=0)


def test_noise_of_electrodes_and_times_is_independent() -> None:
    after = EdgeNoise().forward(constant(4, 2000, 0.0), torch.Generator().manual_seed(0)).eeg
    assert after is not None
    correlations = torch.corrcoef(after.permute(0, 2, 1).reshape(80, 2000)) - torch.eye(80)
    assert correlations.abs().max() < 0.15


def test_polarity_inverted_twice_is_the_identity_and_once_turns_all_electrodes_over(recordings: MakeRecordings) -> None:
    batch, invert = recordings(), PolarityInversion(p=1)
    once = invert.forward(batch, torch.Generator())
    assert batch.eeg is not None
    torch.testing.assert_close(once.eeg, -batch.eeg, rtol=0, atol=0)
    torch.testing.assert_close(invert.forward(once, torch.Generator()).eeg, batch.eeg, rtol=0, atol=0)


@pytest.mark.parametrize("representation", ["chain_mel", "log_mel", "psd", "stft", "fft_image", "zoom"])
def test_no_power_spectrum_sees_the_polarity(representation: str, recordings: MakeRecordings) -> None:
    config = EegPipeline.model_validate({"clip_uv": 100, "representation": {"name": representation}})
    batch = recordings(1, n_times=10_000)
    inverted = PolarityInversion(p=1).forward(batch, torch.Generator())
    assert batch.eeg is not None
    assert inverted.eeg is not None
    pipeline = config.fit([])
    torch.testing.assert_close(pipeline.forward(inverted.eeg), pipeline.forward(batch.eeg), rtol=0, atol=1e-5)
