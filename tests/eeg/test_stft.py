from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
from eeg_signals import awkward_signals, noise, real_eeg, tone
from nnAudio.features.stft import STFT
from pydantic import ValidationError

from hms_search.eeg.layout import Restack
from hms_search.eeg.montage import Bipolar, derive
from hms_search.eeg.stft import Stft

VARIANTS = {"A": Stft(), "B": Stft(n_fft=190, win_length=96, hop_length=24, window="hann")}
SHAPES = {"A": (56, 431), "B": (96, 409)}
RESTACKED = {"A": (672, 862), "B": (1152, 818)}


def place15_differences(eeg: torch.Tensor) -> torch.Tensor:
    """The 24 differences as the 15th place makes them."""
    coefficients = scipy.signal.butter(4, 50, fs=200)
    filtered = scipy.signal.lfilter(*coefficients, eeg.clamp(-1024, 1024).double().numpy() / 32, axis=1)
    return derive(torch.from_numpy(filtered.astype(np.float32)), Bipolar(name="place15").matrix())


@pytest.mark.data
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_restacked_variants_of_a_real_recording_equal_the_reference_arrays(shared_data: Path, variant: str) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")
    x = place15_differences(real_eeg(shared_data, 900000001))
    np.testing.assert_allclose(x[0, :, ::5], expected["place15_differences"], atol=1e-5)
    planes = VARIANTS[variant].forward(x, ())
    assert planes.shape == (1, 24, *SHAPES[variant])
    image = Restack().forward(planes)
    assert image.shape == (1, 1, *RESTACKED[variant])
    half = expected[f"place15_stft_{variant}_restacked"].astype(np.float32)
    np.testing.assert_allclose(image[0, 0], half, atol=5e-4)  # the reference is float16


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variants_equal_nnaudios(variant: str) -> None:
    config = VARIANTS[variant]
    layer = STFT(
        **config.model_dump(include={"n_fft", "win_length", "hop_length", "window"}),
        **{"freq_scale": "linear", "fmin": 0, "fmax": 40, "sr": 200},
        **{"center": False, "output_format": "Magnitude", "trainable": True, "verbose": False},
    )
    x = noise(1, n_derivations=4) / 32
    with torch.no_grad():
        magnitude = layer(x[0])
    expected = (torch.log1p(magnitude**2).clamp(0, 20) - 7.5) / 7.5
    torch.testing.assert_close(config.forward(x, ())[0], expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(config.frequencies, layer.bins2freq, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("hz", [3.0, 12.4, 31.0])
def test_a_tone_lands_in_its_row(variant: str, hz: float) -> None:
    config = VARIANTS[variant]
    plane = config.forward(tone(hz, amplitude=1.0), ())[0, 0]
    assert config.frequencies[plane.mean(dim=1).argmax()] == pytest.approx(hz, abs=40 / len(config.frequencies))


@pytest.mark.parametrize("name", awkward_signals())
def test_the_scaled_power_of_any_signal_lies_between_minus_1_and_1_67(name: str) -> None:
    planes = Stft().forward(awkward_signals()[name], ())
    assert planes.dtype == torch.float32
    assert planes.isfinite().all()
    assert planes.min() >= -1
    assert planes.max() <= 12.5 / 7.5 + 1e-6


def test_what_cannot_be_transformed_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of 110 samples, found 100"):
        Stft().forward(noise(1, n_times=100), ())
    with pytest.raises(ValidationError, match="low_hz must be below high_hz, found 40 and 40"):
        Stft(low_hz=40)
    with pytest.raises(ValidationError, match="at most n_fft, found 64 and 50"):
        Stft(n_fft=50)
