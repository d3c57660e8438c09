from typing import get_args

import numpy as np
import pytest
import scipy.signal
import torch
from eeg_signals import noise

from hms_search.eeg import dft
from hms_search.eeg.dft import Frames, Window, by_chunks, fourier_basis, power, window_taps

CPU = torch.device("cpu")
SCIPY_NAMES = {"tukey": ("tukey", 0.25)}


@pytest.mark.parametrize("window", get_args(Window))
@pytest.mark.parametrize("taps", [16, 64, 150])
def test_a_window_equals_scipys(window: Window, taps: int) -> None:
    expected = scipy.signal.get_window(SCIPY_NAMES.get(window, window), taps)
    np.testing.assert_allclose(window_taps(window, taps), expected, atol=1e-12)


@pytest.mark.parametrize("detrend", [False, True])
@pytest.mark.parametrize("window", get_args(Window))
def test_the_power_equals_that_of_an_fft(window: Window, detrend: bool) -> None:
    x = noise(1, n_derivations=3, n_times=700)
    frames = Frames(taps=64, hop=23, start=5, count=27)
    framed = np.lib.stride_tricks.sliding_window_view(x[0].double().numpy()[:, 5:], 64, axis=1)[:, ::23][:, :27]
    framed = framed - framed.mean(axis=2, keepdims=True) if detrend else framed
    expected = np.abs(np.fft.rfft(framed * window_taps(window, 64), n=256)) ** 2
    basis = fourier_basis(window, 64, tuple(200 * k / 256 for k in range(129)), CPU)
    found = power(x, frames, basis, detrend=detrend)
    assert found.shape == (1, 3, 129, 27)
    np.testing.assert_allclose(found[0], expected.swapaxes(1, 2), rtol=1e-4, atol=1e-6 * expected.max())


def test_outside_the_signal_are_zeros() -> None:
    x = noise(1, n_derivations=2, n_times=100)
    basis = fourier_basis("hann", 64, (3.0, 10.0), CPU)
    padded = torch.nn.functional.pad(x, (32, 40))
    inside = power(padded, Frames(taps=64, hop=10, start=0, count=11), basis)
    torch.testing.assert_close(power(x, Frames(taps=64, hop=10, start=-32, count=11), basis), inside)


def test_recordings_are_transformed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dft._CHUNK_VALUES, "cpu", 1000)
    sizes = []

    def transform(part: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        assert part.dtype == torch.float32
        return part.sum(dim=2)

    x = noise(7, n_derivations=2, n_times=50).half()
    torch.testing.assert_close(by_chunks(transform, x, 300), x.float().sum(dim=2))
    assert sizes == [3, 3, 1]


def test_a_recording_larger_than_a_chunk_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dft._CHUNK_VALUES, "cpu", 10)
    x = noise(3, n_derivations=2, n_times=50)
    torch.testing.assert_close(by_chunks(lambda part: part * 2, x, 300), x * 2)
