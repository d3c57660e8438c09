from dataclasses import replace

import pytest
import torch
from augment.conftest import MakeImages, MakeRecordings

from hms_search.augment.band_pass import NarrowBandPass
from hms_search.augment.channels import ElectrodeDrop, PlaneDrop
from hms_search.augment.reference import common_part
from hms_search.eeg.montage import Bipolar, derive


def test_1_to_4_scalp_electrodes_keep_only_what_all_have_in_common(recordings: MakeRecordings) -> None:
    batch = recordings(400, n_times=10, n_rows=1)
    after = ElectrodeDrop(p=1).forward(batch, torch.Generator().manual_seed(0)).eeg
    assert after is not None
    assert batch.eeg is not None
    common = batch.eeg[..., :19].median(dim=2, keepdim=True).values
    dropped = (after == common).all(dim=1)
    torch.testing.assert_close(after, torch.where(dropped[:, None], common, batch.eeg), rtol=0, atol=0)
    assert set(dropped.sum(dim=1).tolist()) == {1, 2, 3, 4}
    assert dropped[:, :19].any(dim=0).all()
    assert not dropped[:, 19].any()  # the heart


@pytest.mark.parametrize("augmentation", [ElectrodeDrop(p=1), NarrowBandPass(p=1)])
def test_the_reference_all_electrodes_share_leaves_no_mark_in_any_difference(
    augmentation: ElectrodeDrop | NarrowBandPass, recordings: MakeRecordings
) -> None:
    batch, montage = recordings(), Bipolar(name="double_banana").matrix()
    assert batch.eeg is not None
    shared = 3000 * torch.randn(6, 1000, 1, generator=torch.Generator().manual_seed(1))
    moved = replace(batch, eeg=batch.eeg + shared)
    plain, referred = (augmentation.forward(x, torch.Generator().manual_seed(0)).eeg for x in (batch, moved))
    assert plain is not None
    assert referred is not None
    torch.testing.assert_close(derive(referred, montage), derive(plain, montage), rtol=0, atol=0.01)


def test_an_electrode_that_has_come_off_is_no_part_of_what_all_have_in_common(recordings: MakeRecordings) -> None:
    eeg = recordings().eeg
    assert eeg is not None
    eeg[:, :, 4] = 1e6
    eeg[:, :20, 7] = torch.nan
    assert common_part(eeg).abs().max() < 100


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
