"""The 10-minute spectrogram: multitaper power of bipolar derivations, averaged over each of four regions."""

import numpy as np
from jaxtyping import Float
from scipy.fft import rfft
from scipy.signal.windows import dpss

from hms_search.data.synthetic.head import DERIVATIONS, REGIONS

SFREQ, WINDOW_S, STEP_S, N_FFT = 200, 4, 2, 1024
MARGIN_S = (WINDOW_S - STEP_S) // 2
"""Signal needed before the first and after the last frame's own two seconds."""
FIRST_BIN, LAST_BIN = 3, 102
_TAPERS: Float[np.ndarray, "3 800"] = dpss(WINDOW_S * SFREQ, 2, 3).astype(np.float32)
"""Time-bandwidth 2 and 3 tapers over 4 s, step 2 s: the spectrogram settings of SPaRCNet (Jing et al., 2023)."""
_FLOOR = np.float32(np.finfo(np.float64).eps)
"""What a flat electrode shows in the real files: 2.2e-16."""


def column_names() -> list[str]:
    """Return the 400 names, ``LL_0.59`` to ``RP_19.92``: k * 200 / 1024 Hz, rounded half up, no trailing zeros."""
    hz = [np.floor(k * SFREQ / N_FFT * 100 + 0.5) / 100 for k in range(FIRST_BIN, LAST_BIN + 1)]
    return [f"{region}_{value:g}" for region in REGIONS for value in hz]


def multitaper(signal: Float[np.ndarray, "19 times"]) -> Float[np.ndarray, "frames 400"]:
    """Return the power in microvolt^2 / Hz, float32, one frame every 2 s, regions in file order.

    ``signal`` is in microvolt at 200 Hz and reaches ``MARGIN_S`` past the frames at both ends: ``2 * frames + 2``
    seconds. A frame that touches missing signal is left out of its region's mean; it is NaN where nothing remains.
    """
    missing = np.isnan(signal).any(axis=1)
    n_frames = (signal.shape[1] - WINDOW_S * SFREQ) // (STEP_S * SFREQ) + 1
    n_bins = LAST_BIN - FIRST_BIN + 1
    regions = np.zeros((n_frames, len(REGIONS), n_bins), dtype=np.float32)
    for region, pairs in enumerate(DERIVATIONS):
        counts = np.zeros(n_frames, dtype=np.float32)
        for plus, minus in pairs:
            derivation = signal[plus] - signal[minus]
            frames = np.lib.stride_tricks.sliding_window_view(derivation, WINDOW_S * SFREQ)[:: STEP_S * SFREQ]
            power = _power(frames)
            if missing[plus] or missing[minus]:
                lost = np.isnan(frames).any(axis=1)
                power[lost] = 0
                counts += ~lost
            else:
                counts += 1
            regions[:, region] += power
        with np.errstate(invalid="ignore"):
            regions[:, region] /= counts[:, None]
    regions += _FLOOR
    return regions.reshape(n_frames, -1)


def _power(frames: Float[np.ndarray, "frames 800"]) -> Float[np.ndarray, "frames 100"]:
    """Mean over tapers of the squared transform, as Chronux scales it (not doubled for the missing half)."""
    total = np.zeros((len(frames), LAST_BIN - FIRST_BIN + 1), dtype=np.float32)
    for taper in _TAPERS:
        spectrum = rfft(frames * taper, N_FFT, axis=1)[:, FIRST_BIN : LAST_BIN + 1]
        total += spectrum.real**2 + spectrum.imag**2
    total /= np.float32(len(_TAPERS) * SFREQ)
    return total
