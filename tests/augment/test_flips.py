import pytest
import torch
from augment.conftest import MakeRecordings

from hms_search.augment import Recordings
from hms_search.augment.flips import FrontBackFlip, LeftRightFlip
from hms_search.eeg.mirror import mirrored
from hms_search.eeg.montage import Bipolar, derive

LEFT_RIGHT = str.maketrans("123456789", "214365870")
FRONT_BACK = {"Fp1": "O1", "F3": "P3", "F7": "T5", "C3": "C3", "T3": "T3", "Fp2": "O2", "F4": "P4", "F8": "T6"}
FRONT_BACK |= {"C4": "C4", "T4": "T4"} | {back: front for front, back in FRONT_BACK.items()}


def flipped(batch: Recordings, flip: LeftRightFlip | FrontBackFlip) -> Recordings:
    return flip.forward(batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("flip", [LeftRightFlip(p=1), FrontBackFlip(p=1)])
def test_a_flip_twice_is_the_identity(flip: LeftRightFlip | FrontBackFlip, recordings: MakeRecordings) -> None:
    batch = recordings()
    twice = flipped(flipped(batch, flip), flip)
    for after, before in ((twice.eeg, batch.eeg), (twice.log_power, batch.log_power)):
        torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_a_left_right_flipped_recordings_differences_are_those_of_the_other_side(recordings: MakeRecordings) -> None:
    montage, batch = Bipolar(name="interleaved16"), recordings()
    after = flipped(batch, LeftRightFlip(p=1))
    assert batch.eeg is not None
    assert after.eeg is not None
    mirror_images = [name.translate(LEFT_RIGHT) for name in montage.derivations]
    order = [montage.derivations.index(name) for name in mirror_images]
    expected = derive(batch.eeg, montage.matrix())[:, order]
    torch.testing.assert_close(derive(after.eeg, montage.matrix()), expected)


def test_a_front_back_flipped_recordings_differences_run_the_other_way(recordings: MakeRecordings) -> None:
    montage, batch = Bipolar(name="interleaved16"), recordings()
    after = flipped(batch, FrontBackFlip(p=1))
    assert batch.eeg is not None
    assert after.eeg is not None
    pairs = [name.split("-") for name in montage.derivations]
    order = [montage.derivations.index(f"{FRONT_BACK[second]}-{FRONT_BACK[first]}") for first, second in pairs]
    expected = -derive(batch.eeg, montage.matrix())[:, order]
    torch.testing.assert_close(derive(after.eeg, montage.matrix()), expected)


def test_the_left_right_flip_really_acts_on_the_spectrogram_of_the_same_samples(recordings: MakeRecordings) -> None:
    batch = recordings(32)
    after = flipped(batch, LeftRightFlip())
    assert batch.eeg is not None
    assert after.eeg is not None
    assert batch.log_power is not None
    acted = (after.eeg != batch.eeg).any(dim=(1, 2))
    assert 0 < acted.sum() < 32
    expected = torch.where(acted[:, None, None], mirrored(batch.log_power), batch.log_power)
    torch.testing.assert_close(after.log_power, expected, rtol=0, atol=0)


def test_the_heart_is_not_flipped(recordings: MakeRecordings) -> None:
    batch = recordings()
    for flip in (LeftRightFlip(p=1), FrontBackFlip(p=1)):
        after = flipped(batch, flip)
        assert batch.eeg is not None
        assert after.eeg is not None
        torch.testing.assert_close(after.eeg[..., -1], batch.eeg[..., -1], rtol=0, atol=0)
