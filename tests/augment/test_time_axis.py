import pytest
import torch
from augment.conftest import MakeRecordings
from pydantic import ValidationError

from hms_search.augment import Recordings
from hms_search.augment.time_axis import EdgeDropout, TimeCutout, TimeResample, TimeReversal, WindowShift
from hms_search.eeg.montage import Bipolar, derive


def of_eeg(eeg: torch.Tensor, log_power: torch.Tensor | None = None) -> Recordings:
    return Recordings(eeg, log_power, torch.full((len(eeg), 6), 1 / 6), torch.ones(len(eeg)))


def ramps(n: int = 200, n_times: int = 10_000, n_rows: int = 301) -> Recordings:
    """EEG and log power are the seconds from the middle of their windows."""
    eeg = (torch.arange(n_times) - (n_times - 1) / 2) / 200
    rows = (torch.arange(n_rows) - (n_rows - 1) / 2) * 2
    return of_eeg(eeg[None, :, None].repeat(n, 1, 20), rows[None, :, None].repeat(n, 1, 400))


def test_reversal_reverses_eeg_and_spectrogram(recordings: MakeRecordings) -> None:
    batch = recordings()
    after = TimeReversal(p=1).forward(batch, torch.Generator())
    assert batch.eeg is not None
    assert batch.log_power is not None
    torch.testing.assert_close(after.eeg, batch.eeg.flip(1), rtol=0, atol=0)
    torch.testing.assert_close(after.log_power, batch.log_power.flip(1), rtol=0, atol=0)


def test_a_shift_moves_eeg_and_spectrogram_by_the_same_seconds_up_to_a_third_of_the_window() -> None:
    batch = ramps()
    after = WindowShift().forward(batch, torch.Generator().manual_seed(0))
    assert batch.eeg is not None
    assert batch.log_power is not None
    assert after.eeg is not None
    assert after.log_power is not None
    moved_s = batch.eeg[:, 5000, 0] - after.eeg[:, 5000, 0]
    rows_moved_s = batch.log_power[:, 150, 0] - after.log_power[:, 150, 0]
    assert (moved_s - rows_moved_s).abs().max() <= 1 + 1e-3  # half a row
    assert -50 / 3 <= moved_s.min() < -15
    assert 15 < moved_s.max() <= 50 / 3
    steps = after.eeg[:, 1:, 0] - after.eeg[:, :-1, 0]
    turns = ((steps < 0).sum(dim=1) + 1 - (moved_s * 200).abs().round()).abs()
    assert (turns[moved_s > 0.01] <= 1).all()  # what enters from the left is mirrored
    assert after.eeg.abs().max() <= batch.eeg.abs().max()


def test_a_factor_stretches_the_spectrogram_about_its_middle() -> None:
    batch = ramps()
    after = TimeResample().forward(batch, torch.Generator().manual_seed(0))
    assert after.log_power is not None
    torch.testing.assert_close(after.log_power[:, 150], torch.zeros(200, 400), rtol=0, atol=1e-3)
    factors = 20 / after.log_power[:, 160, 0]
    torch.testing.assert_close(after.log_power[:, 110, 0], -80 / factors, rtol=1e-4, atol=0)
    assert 0.85 <= factors.min() < 0.86
    assert 1.04 < factors.max() <= 1.05 + 1e-4
    assert after.eeg is batch.eeg


def test_a_stretched_eeg_has_its_frequency_divided_by_the_factor() -> None:
    seconds = torch.arange(10_000) / 200
    tone = torch.sin(2 * torch.pi * 10 * seconds)[None, :, None].repeat(3, 1, 20)
    after = TimeResample(low=1.25, high=1.25, eeg=True).forward(of_eeg(tone), torch.Generator()).eeg
    assert after is not None
    power = torch.fft.rfft(after[:, :, 0]).abs()
    assert (power.argmax(dim=1) == 8 * 50).all()


def test_resampling_neither_makes_nan_of_no_power_nor_refuses_a_window_of_one_row() -> None:
    log_power = torch.full((4, 30, 400), -torch.inf)
    log_power[:, 10:20] = 1.0
    batch = of_eeg(torch.zeros(4, 100, 20), log_power)
    after = TimeResample(eeg=True).forward(batch, torch.Generator().manual_seed(0))
    assert after.log_power is not None
    assert not after.log_power.isnan().any()
    unstretched = TimeResample(low=1, high=1).forward(batch, torch.Generator())
    torch.testing.assert_close(unstretched.log_power, log_power, rtol=0, atol=0)
    single = of_eeg(torch.ones(4, 1, 20), log_power[:, :1])
    for augmentation in (TimeResample(eeg=True), WindowShift(), EdgeDropout(p=1), TimeReversal(p=1)):
        assert augmentation.forward(single, torch.Generator()).eeg is not None


def test_a_factor_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"low must not be above high, found low 1\.2 and high 1\.05"):
        TimeResample(low=1.2)


def test_the_central_fraction_stays_and_the_edges_become_zero() -> None:
    after = EdgeDropout(p=1).forward(of_eeg(torch.ones(500, 1000, 20)), torch.Generator().manual_seed(0)).eeg
    assert after is not None
    kept = after[:, :, 0]
    torch.testing.assert_close(kept, kept.flip(1))
    assert (after == kept[..., None]).all()
    assert (kept[:, 1:500] >= kept[:, :499]).all()
    fractions = kept.mean(dim=1)
    assert fractions.min() + 0.001 >= 0.05
    assert fractions.min() < 0.06
    assert 0.98 < fractions.max() <= 1
    assert abs(fractions.mean() - 0.525) < 0.03


def test_a_stretch_of_up_to_3_2_seconds_becomes_each_electrodes_mean(recordings: MakeRecordings) -> None:
    batch = recordings(300, n_times=2000, n_rows=1)
    after = TimeCutout(p=1, cutouts=1).forward(batch, torch.Generator().manual_seed(0)).eeg
    assert batch.eeg is not None
    assert after is not None
    cut = (after != batch.eeg).all(dim=2)
    means = batch.eeg.mean(dim=1, keepdim=True)
    torch.testing.assert_close(after, torch.where(cut[..., None], means, batch.eeg))
    assert ((cut[:, 1:] & ~cut[:, :-1]).sum(dim=1) + cut[:, 0] <= 1).all()
    lengths = cut.sum(dim=1)
    assert lengths.min() < 10
    assert 630 < lengths.max() <= 640
    assert abs(lengths.float().mean() - 320) < 30
    assert cut.any(dim=0).float().mean() > 0.99  # anywhere


def test_four_stretches_may_overlap_and_missing_samples_are_no_part_of_the_mean() -> None:
    eeg = torch.full((100, 10_000, 20), 7.0)
    eeg[:, :4000] = torch.nan
    eeg[:, 4000:5000, 0] = -1000.0
    eeg[:, :, 3] = torch.nan
    after = TimeCutout(p=1).forward(of_eeg(eeg), torch.Generator().manual_seed(0)).eeg
    assert after is not None
    cut = (after[..., 0] != eeg[..., 0]) & ~after[..., 0].isnan()
    assert 0 < cut.sum(dim=1).max() <= 4 * 640
    torch.testing.assert_close(after[..., 0][cut], torch.tensor((5000 * 7 - 1e6) / 6000).expand(int(cut.sum())))
    assert after[..., 3].isnan().all()
    assert (after[..., 5].nan_to_num(7) == 7).all()


def test_cut_electrodes_leave_nothing_in_the_differences_of_centred_ones(recordings: MakeRecordings) -> None:
    batch = recordings(50)
    assert batch.eeg is not None
    centred = of_eeg(batch.eeg - batch.eeg.mean(dim=1, keepdim=True))
    after = TimeCutout(p=1).forward(centred, torch.Generator().manual_seed(0)).eeg
    assert after is not None
    cut = (after != centred.eeg).all(dim=2)
    assert derive(after, Bipolar(name="place15").matrix()).mT[cut].abs().max() < 1e-4
