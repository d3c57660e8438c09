from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from eeg_signals import DEOTTE, awkward_signals, noise, real_derivations, tone
from pydantic import ValidationError

from hms_search.eeg.mel import ChainMel, LogMel
from hms_search.eeg.mel_bands import Mel, mel_matrix

THIRD_PLACE = Mel(n_fft=512, n_mels=64, low_hz=0.53, high_hz=30, scale="htk", top_db=100)


def librosa_recipe(x: np.ndarray, *, frames: int = 256, n_mels: int = 128) -> np.ndarray:
    """One derivation as in Deotte's notebook."""
    energy = librosa.feature.melspectrogram(
        y=x, sr=200, hop_length=len(x) // frames, n_fft=1024, n_mels=n_mels, fmin=0, fmax=20, win_length=128
    )
    decibels = librosa.power_to_db(energy, ref=np.max).astype(np.float32)
    return (decibels[:, : decibels.shape[1] // 32 * 32] + 40) / 40


def librosa_chains(x: torch.Tensor, **options: int) -> np.ndarray:
    planes = np.stack([librosa_recipe(derivation.numpy(), **options) for derivation in x[0]])
    return np.stack([planes[list(chain)].mean(axis=0) for chain in DEOTTE.chains])


@pytest.mark.data
def test_the_chain_mel_of_a_real_recording_equals_the_reference_array(shared_data: Path) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")["deotte_mel"]
    planes = ChainMel().forward(real_derivations(shared_data, 900000001), DEOTTE.chains)
    np.testing.assert_allclose(planes[0].permute(1, 2, 0), expected, atol=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("eeg_id", [900000002, 900000013, 900000025, 900000038])
def test_the_chain_mel_of_real_recordings_equals_librosas(shared_data: Path, eeg_id: int) -> None:
    x = real_derivations(shared_data, eeg_id)
    np.testing.assert_allclose(ChainMel().forward(x, DEOTTE.chains)[0], librosa_chains(x), atol=1e-3)


def test_the_chain_mel_of_ten_seconds_and_of_768_frames_equals_librosas() -> None:
    x = noise(1, n_times=2000)
    np.testing.assert_allclose(ChainMel().forward(x, DEOTTE.chains)[0], librosa_chains(x), atol=1e-3)
    x = noise(1)
    fine = ChainMel(mel=Mel(n_mels=192), frames=768).forward(x, DEOTTE.chains)
    assert fine.shape == (1, 4, 192, 768)
    np.testing.assert_allclose(fine[0], librosa_chains(x, frames=768, n_mels=192), atol=1e-3)


def test_silence_is_1_as_in_librosas_recipe() -> None:
    silence = torch.zeros(1, 16, 10_000)
    np.testing.assert_array_equal(ChainMel().forward(silence, DEOTTE.chains)[0], librosa_chains(silence))


@pytest.mark.parametrize("mel", [Mel(), Mel(n_mels=192), THIRD_PLACE, Mel(low_hz=0.53, high_hz=40, scale="htk")])
def test_the_bands_equal_librosas(mel: Mel) -> None:
    htk = mel.scale == "htk"
    expected = librosa.filters.mel(
        sr=200,
        n_fft=mel.n_fft,
        n_mels=mel.n_mels,
        fmin=mel.low_hz,
        fmax=mel.high_hz,
        htk=htk,
        norm=None if htk else "slaney",
    )
    np.testing.assert_allclose(mel_matrix(mel), expected, atol=1e-6)


@pytest.mark.parametrize("reference", ["maximum", "unit"])
def test_the_mel_settings_of_the_third_place_equal_librosas(reference: str) -> None:
    x = noise(1, n_derivations=2)
    planes = LogMel.model_validate({"mel": THIRD_PLACE, "hop_length": 32, "reference": reference}).forward(x, ())
    assert planes.shape == (1, 2, 64, 313)
    for plane, signal in zip(planes[0], x[0].numpy(), strict=True):
        energy = librosa.feature.melspectrogram(
            y=signal,
            sr=200,
            hop_length=32,
            n_fft=512,
            n_mels=64,
            fmin=0.53,
            fmax=30,
            win_length=128,
            htk=True,
            norm=None,
        )
        decibels = librosa.power_to_db(energy, ref=np.max if reference == "maximum" else 1.0, top_db=100)
        np.testing.assert_allclose(plane, decibels / 50 + 1, atol=1e-3)


@pytest.mark.parametrize("hz", [2.0, 7.5, 12.0, 18.3])
def test_a_tone_lands_in_its_band(hz: float) -> None:
    centres = np.arange(1, 129) * 20 / 129
    for planes in (ChainMel().forward(tone(hz), DEOTTE.chains), LogMel().forward(tone(hz), ())):
        strongest = centres[planes[0, 0, :, 20:-20].mean(dim=1).argmax()]
        assert strongest == pytest.approx(hz, abs=0.35)


def test_a_louder_recording_looks_the_same_unless_decibels_are_absolute() -> None:
    x = noise(1, n_derivations=2)
    torch.testing.assert_close(LogMel().forward(10 * x, ()), LogMel().forward(x, ()), atol=1e-4, rtol=0)
    absolute = LogMel(reference="unit")
    torch.testing.assert_close(absolute.forward(10 * x, ()), absolute.forward(x, ()) + 20 / 40, atol=1e-4, rtol=0)


def test_a_chain_is_the_mean_of_its_derivations_whichever_they_are() -> None:
    x = noise(2, n_derivations=5)
    each = ChainMel().forward(x, tuple((i,) for i in range(5)))
    planes = ChainMel().forward(x, ((4, 0, 1), (2,), (1, 3)))
    expected = torch.stack([each[:, list(chain)].mean(dim=1) for chain in ((4, 0, 1), (2,), (1, 3))], dim=1)
    torch.testing.assert_close(planes, expected)


@pytest.mark.parametrize("name", awkward_signals())
def test_the_scaled_decibels_of_any_signal_lie_between_minus_1_and_1(name: str) -> None:
    x = awkward_signals()[name]
    for planes in (ChainMel().forward(x, DEOTTE.chains), LogMel().forward(x, ())):
        assert planes.dtype == torch.float32
        assert planes.isfinite().all()
        assert planes.min() >= -1 - 1e-6
        assert planes.max() <= 1 + 1e-6


def test_without_chains_or_with_too_few_samples_the_chain_mel_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="montage with chains, found none: choose deotte"):
        ChainMel().forward(noise(1), ())
    with pytest.raises(ValueError, match=r"a sample per frame \(256\), found 200 samples"):
        ChainMel().forward(noise(1, n_times=200), DEOTTE.chains)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_hz": 20}, "low_hz must be below high_hz, found 20 and 20"),
        ({"win_length": 2048}, "at most n_fft, found 2048 and 1024"),
        ({"win_length": 127}, "multiple of 2"),
        ({"n_fft": 256}, "hold no bin of a transform of 256 points: raise n_fft or lower n_mels"),
    ],
)
def test_impossible_bands_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mel.model_validate(options)
