"""What every representation must do, whichever it is."""

from typing import get_args

import pytest
import torch
from eeg_signals import DEOTTE, noise

from hms_search.eeg import dft
from hms_search.eeg.fft_image import FftImage
from hms_search.eeg.mel import ChainMel, LogMel
from hms_search.eeg.psd import Psd
from hms_search.eeg.spectrogram import Representation
from hms_search.eeg.stft import Stft
from hms_search.eeg.waveform import Waveform
from hms_search.eeg.zoom import Zoom

SHAPES: dict[Representation, tuple[int, int, int]] = {
    ChainMel(): (4, 128, 256),
    LogMel(): (16, 128, 257),
    LogMel(contrasts=True): (48, 128, 257),
    Psd(): (4, 129, 448),
    Psd(planes="derivation", low_hz=0.5, high_hz=20): (16, 25, 448),
    Stft(): (16, 56, 431),
    FftImage(): (3, 16, 24),
    Zoom(): (48, 64, 852),
    Waveform(): (16, 1, 10_000),
    Waveform(length=9600, every=5, centre=True): (16, 1, 1920),
}
MEMBERS = [pytest.param(member, id=f"{member.name}-{i}") for i, member in enumerate(SHAPES)]


def test_every_representation_is_tested_here() -> None:
    assert {type(member) for member in SHAPES} == set(get_args(get_args(Representation)[0]))


@pytest.mark.parametrize("representation", MEMBERS)
def test_fifty_seconds_have_the_stated_shape(representation: Representation) -> None:
    planes = representation.forward(noise(2), DEOTTE.chains)
    assert planes.shape == (2, *SHAPES[representation])
    assert planes.dtype == torch.float32
    assert planes.is_contiguous()


@pytest.mark.parametrize("representation", MEMBERS)
def test_a_recording_looks_the_same_alone_and_in_any_batch(
    representation: Representation, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = noise(3)
    alone = torch.cat([representation.forward(recording[None], DEOTTE.chains) for recording in x])
    monkeypatch.setitem(dft._CHUNK_VALUES, "cpu", 2**24)
    torch.testing.assert_close(representation.forward(x, DEOTTE.chains), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("representation", MEMBERS)
def test_a_recording_stays_as_it_is_and_half_precision_is_enough(representation: Representation) -> None:
    x = noise(1).half()
    before = x.clone()
    planes = representation.forward(x, DEOTTE.chains)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    single = x.float()
    torch.testing.assert_close(representation.forward(single, DEOTTE.chains), planes, rtol=0, atol=0)
    torch.testing.assert_close(single, before.float(), rtol=0, atol=0)


@pytest.mark.parametrize("representation", MEMBERS)
def test_mixed_precision_around_it_does_not_reach_a_representation(representation: Representation) -> None:
    x = noise(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = representation.forward(x, DEOTTE.chains)
    torch.testing.assert_close(representation.forward(x, DEOTTE.chains), within, rtol=0, atol=0)


@pytest.mark.parametrize("representation", MEMBERS)
def test_a_representation_works_within_inference_mode_and_after_it(representation: Representation) -> None:
    x = noise(1)
    with torch.inference_mode():
        within = representation.forward(x, DEOTTE.chains)
    torch.testing.assert_close(representation.forward(x, DEOTTE.chains), within, rtol=0, atol=0)
