from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from eeg_signals import DEOTTE, real_derivations

from hms_search.eeg.histogram import log_power
from hms_search.eeg.kaggle_planes import kaggle_planes
from hms_search.eeg.layout import Channels, Grid, Restack, Stack, beside
from hms_search.eeg.mel import ChainMel

PLANES = torch.arange(2 * 6 * 4 * 5.0).reshape(2, 6, 4, 5)


def test_stacked_planes_stand_one_below_the_other() -> None:
    image = Stack().forward(PLANES)
    assert image.shape == (2, 1, 24, 5)
    torch.testing.assert_close(image[:, 0], torch.cat(list(PLANES.unbind(1)), dim=1))


def test_stacked_channels_are_successive_groups_of_planes() -> None:
    image = Stack(channels=3).forward(PLANES)
    assert image.shape == (2, 3, 8, 5)
    torch.testing.assert_close(image[:, 1:2], Stack().forward(PLANES[:, 2:4]))


def test_channels_are_the_planes() -> None:
    assert Channels().forward(PLANES) is PLANES


def test_a_restacked_row_is_two_old_rows_side_by_side() -> None:
    image, old = Restack().forward(PLANES), Stack().forward(PLANES)
    assert image.shape == (2, 1, 12, 10)
    torch.testing.assert_close(image, torch.cat([old[:, :, ::2], old[:, :, 1::2]], dim=3))
    torch.testing.assert_close(image.flatten(), PLANES.flatten())  # memory read with another width


def test_a_grid_is_read_like_a_text() -> None:
    image = Grid(columns=3).forward(PLANES)
    assert image.shape == (2, 1, 8, 15)
    torch.testing.assert_close(image[:, 0, 4:, :5], PLANES[:, 3])
    torch.testing.assert_close(image[:, 0, :4, 10:], PLANES[:, 2])


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Stack(channels=4), "stack cannot share 6 planes out to 4 channels evenly"),
        (Grid(columns=4), "grid cannot share 6 planes out to 4 columns evenly"),
        (Restack(columns=5), "restack cannot share 24 rows out to 5 columns evenly"),
    ],
)
def test_planes_that_do_not_fit_are_refused(layout: Stack | Grid | Restack, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layout.forward(PLANES)


def test_images_side_by_side_must_have_the_same_height_and_channels() -> None:
    with pytest.raises(ValueError, match=r"same channels and height, found \(1, 24\) and \(1, 12\)"):
        beside(Stack().forward(PLANES), Restack().forward(PLANES))


@pytest.mark.data
def test_the_kaggle_planes_of_a_real_recording_equal_the_reference_array(shared_data: Path) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")["deotte_kaggle_planes"]
    file = pd.read_parquet(shared_data / "iiic" / "train_spectrograms" / "800000025.parquet")
    power = torch.from_numpy(log_power(file.drop(columns="time").to_numpy()))[None]
    planes = kaggle_planes(power)
    np.testing.assert_allclose(planes[0].permute(1, 2, 0), expected, atol=1e-5)
    mel = ChainMel().forward(real_derivations(shared_data, 900000001), DEOTTE.chains)
    image = beside(Stack().forward(planes), Stack().forward(mel))
    assert image.shape == (1, 1, 512, 512)
    torch.testing.assert_close(image[0, 0, 128:256, 256:], mel[0, 1])
    torch.testing.assert_close(image[0, 0, 384:, :256], planes[0, 3])


def test_kaggle_planes_are_finite_and_leave_gaps_at_0() -> None:
    power = torch.randn(4, 300, 400)
    power[0, :50] = torch.nan
    power[1] = torch.nan
    power[2] = -torch.inf
    power[3, :, :100] = torch.inf
    planes = kaggle_planes(power.half())
    assert planes.dtype == torch.float32
    assert planes.isfinite().all()
    assert (planes[0, :, :, : 50 - 22] == 0).all()
    assert (planes[1] == 0).all()
    assert (planes[:, :, :14] == 0).all()
    assert (planes[:, :, 114:] == 0).all()


def test_too_short_a_spectrogram_has_no_kaggle_planes() -> None:
    with pytest.raises(ValueError, match="need 256 times of two seconds, found 200"):
        kaggle_planes(torch.zeros(1, 200, 400))
