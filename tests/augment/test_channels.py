import pytest
import torch
from augment.conftest import MakeImages, MakeRecordings

from hms_search.augment.channels import ElectrodeDrop, PlaneDrop


def test_1_to_4_scalp_electrodes_become_zero_at_all_times(recordings: MakeRecordings) -> None:
    batch = recordings(400, n_times=10, n_rows=1)
    after = ElectrodeDrop(p=1).forward(batch, torch.Generator().manual_seed(0)).eeg
    assert after is not None
    assert batch.eeg is not None
    dropped = (after == 0).all(dim=1)
    torch.testing.assert_close(after, batch.eeg.masked_fill(dropped[:, None], 0), rtol=0, atol=0)
    assert set(dropped.sum(dim=1).tolist()) == {1, 2, 3, 4}
    assert dropped[:, :19].any(dim=0).all()
    assert not dropped[:, 19].any()  # the heart


@pytest.mark.parametrize(("channels", "stacked"), [(16, 1), (1, 16), (4, 4)])
def test_1_to_8_of_16_planes_become_zero_wherever_they_lie(images: MakeImages, channels: int, stacked: int) -> None:
    batch = images(200, channels=channels, height=5 * stacked, width=3)
    after = PlaneDrop(p=1, stacked=stacked).forward(batch, torch.Generator().manual_seed(0)).x
    dropped = (after == 0).reshape(200, 16, 15)
    assert (dropped == dropped[:, :, :1]).all()
    assert set(dropped[:, :, 0].sum(dim=1).tolist()) == set(range(1, 9))
    torch.testing.assert_close(after, batch.x * (after != 0), rtol=0, atol=0)


def test_planes_that_do_not_fill_the_image_are_refused(images: MakeImages) -> None:
    with pytest.raises(ValueError, match=r"plane_drop.stacked must divide the image's height 64, found 5"):
        PlaneDrop(stacked=5).forward(images(), torch.Generator())
