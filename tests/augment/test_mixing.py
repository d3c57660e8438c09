import pytest
import torch

from hms_search.augment import Images, Recordings
from hms_search.augment.draws import beta, partners_of
from hms_search.augment.mixing import CropCat, EegMixup, Mixup


def marked_recordings(n: int = 6) -> Recordings:
    """Recordings that can be told apart: sample i is i + 1 throughout, its target class i, its weight i + 1."""
    marks = torch.arange(1.0, n + 1)
    eeg = marks[:, None, None].repeat(1, 1000, 20)
    return Recordings(eeg, eeg[:, :40, :1].log().repeat(1, 1, 400), torch.eye(6)[torch.arange(n) % 6], marks)


def test_crop_cat_takes_quarters_2_and_4_or_the_second_half_of_another_sample_in_eeg_and_spectrogram() -> None:
    patterns = {(False, True, False, True): 0, (False, False, True, True): 0}
    for seed in range(50):
        batch = marked_recordings()
        after = CropCat(p=1).forward(batch, torch.Generator().manual_seed(seed))
        assert after.eeg is not None
        assert after.log_power is not None
        for own in range(6):
            quarters = after.eeg[own].reshape(4, -1)
            assert (quarters == quarters[:, :1]).all()
            taken = quarters[:, 0] != own + 1
            patterns[tuple(taken.tolist())] += 1
            other = int(quarters[3, 0]) - 1
            torch.testing.assert_close(after.log_power[own].exp().reshape(4, -1)[:, 0], quarters[:, 0])
            torch.testing.assert_close(after.target[own], (batch.target[own] + batch.target[other]) / 2)
            torch.testing.assert_close(after.weight[own], (batch.weight[own] + batch.weight[other]) / 2)
    assert sum(patterns.values()) == 300
    assert 0.72 < patterns[False, True, False, True] / 300 < 0.88


def test_crop_cat_acts_on_an_eighth_of_the_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.cat([CropCat().forward(marked_recordings(), generator).target for _ in range(200)])
    assert 0.1 < (targets.max(dim=1).values < 1).float().mean() < 0.15


def test_mixup_mixes_image_target_and_weight_in_one_proportion() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    batch = Images(values[:, None, None, None].repeat(1, 3, 4, 5), torch.eye(6), values)
    after = Mixup(p=0.7).forward(batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(after.x[:, 0, 0, 0], after.target @ values)
    torch.testing.assert_close(after.weight, after.target @ values)
    assert (after.x == after.x[:, :1, :1, :1]).all()
    assert ((after.target > 0).sum(dim=1) <= 2).all()
    assert 0 < (after.target.max(dim=1).values < 1).sum() < 6


def test_eeg_mixup_mixes_eeg_and_power_in_one_proportion() -> None:
    batch = marked_recordings()
    after = EegMixup(p=1, alpha=2).forward(batch, torch.Generator().manual_seed(0))
    assert after.eeg is not None
    assert after.log_power is not None
    expected = after.target @ batch.weight
    torch.testing.assert_close(after.eeg[:, 0, 0], expected)
    torch.testing.assert_close(after.log_power[:, 0, 0].exp(), expected)
    torch.testing.assert_close(after.weight, expected)


def test_recordings_without_power_and_with_gaps_mix_to_no_more_gaps_than_both_have() -> None:
    batch = marked_recordings(2)
    assert batch.eeg is not None
    assert batch.log_power is not None
    batch.log_power[:] = -torch.inf
    batch.log_power[1, :20] = 3
    batch.eeg[0, :10] = torch.nan
    after = EegMixup(p=1, alpha=0.01).forward(batch, torch.Generator().manual_seed(0))  # shares of 0 and 1 to rounding
    assert after.eeg is not None
    assert after.log_power is not None
    assert not after.log_power.isnan().any()
    assert (after.log_power[:, 20:] == -torch.inf).all()
    assert after.log_power[:, :20].isfinite().all()
    assert after.eeg[:, :10].isnan().all()
    assert after.eeg[:, 10:].isfinite().all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_shares_have_the_moments_of_the_beta_distribution(alpha: float) -> None:
    shares = beta(alpha, 20_000, torch.Generator().manual_seed(0))
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert abs(shares.mean() - 0.5) < 0.01
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.005


def test_a_partner_is_another_sample_and_any_other_with_equal_probability() -> None:
    rows = torch.arange(5).repeat(2000)
    partners = partners_of(rows, 5, torch.Generator().manual_seed(0))
    counts = torch.zeros(5, 5, dtype=torch.long).index_put((rows, partners), torch.tensor(1), accumulate=True)
    assert (counts.diag() == 0).all()
    others = counts[~torch.eye(5, dtype=torch.bool)]
    assert others.min() > 430
    assert others.max() < 570
