"""Filters in time, for whole batches on any device, equal to SciPy's ``sosfilt`` and ``sosfiltfilt``.

A causal filter of a window that starts at rest is the convolution with the filter's impulse response, exactly, so two
Fourier transforms filter a batch without a loop over samples. The coefficients come from
:func:`hms_search.eeg.filter_design.sections_of`.
"""

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Complex64, Float, Float32, Float64
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.dft import SFREQ

NYQUIST_HZ = SFREQ / 2
"""Half of the samples per second of every recording; no filter reaches above."""

Phase = Literal["causal", "zero"]
"""``causal``: forwards only, as ``lfilter``. ``zero``: forwards and backwards, as ``sosfiltfilt``: twice the slope, no
delay."""
Section = tuple[float, float, float, float, float, float]
"""A second-order section b0, b1, b2, 1, a1, a2."""
Sections = tuple[Section, ...]

_NEGLIGIBLE = 1e-9
"""Of the sum of an impulse response's magnitudes: what its end may hold and be left out. Float32 resolves 6e-8."""
_SAMPLES_AT_ONCE = {"cpu": 2**19}
_SAMPLES_AT_ONCE_ELSEWHERE = 2**24
"""Bound the memory of a transform; on a CPU they keep it within the caches."""


class BandPass(Component):
    """Butterworth band-pass; half the power passes at both bounds (0.5-20 Hz order 2: 3rd, 4th and 5th place)."""

    name: Literal["band_pass"] = "band_pass"
    low_hz: float = 0.5
    high_hz: float = 20.0
    order: int = Field(2, ge=1, le=10)
    phase: Phase = "causal"

    @model_validator(mode="after")
    def _in_order(self) -> "BandPass":
        _check_band(self.low_hz, self.high_hz)
        return self


class LowPass(Component):
    """Butterworth low-pass; half the power passes at the bound (50 Hz order 4: 15th place; 20 Hz: Deotte's WaveNet)."""

    name: Literal["low_pass"] = "low_pass"
    high_hz: float = 50.0
    order: int = Field(4, ge=1, le=10)
    phase: Phase = "causal"

    @model_validator(mode="after")
    def _below_nyquist(self) -> "LowPass":
        if not 0 < self.high_hz < NYQUIST_HZ:
            raise ValueError(
                f"high_hz must be between 0 and {NYQUIST_HZ:g} (half the sampling rate), found {self.high_hz:g}"
            )
        return self


class BandStop(Component):
    """Butterworth band-stop, flat within the band (mains at 60 Hz by 59-61 Hz order 5: 16th place)."""

    name: Literal["band_stop"] = "band_stop"
    low_hz: float = 59.0
    high_hz: float = 61.0
    order: int = Field(5, ge=1, le=10)
    phase: Phase = "causal"

    @model_validator(mode="after")
    def _in_order(self) -> "BandStop":
        _check_band(self.low_hz, self.high_hz)
        return self


class Notch(Component):
    """Second-order notch that takes the mains out; its width at half power is hz / q."""

    name: Literal["notch"] = "notch"
    hz: Literal[50, 60] = 60
    q: float = Field(30.0, ge=1, le=200)
    phase: Phase = "causal"


Filter = Annotated[BandPass | LowPass | BandStop | Notch, Field(discriminator="name")]
"""Every filter; a new one is a class here, its place in this union and its design in ``filter_design``."""


def apply_filter(x: Float[Tensor, "*rows time"], sections: Sections, phase: Phase) -> Float[Tensor, "*rows time"]:
    """Return filtered signals, as ``sosfilt`` from rest or ``sosfiltfilt`` with its default padding would.

    Filters that are all causal may be applied at once: their sections one after the other.

    Raises
    ------
    ValueError
        Where a zero-phase filter's padding is not shorter than the signals.
    """
    n_times = x.shape[-1]
    pad = padding(sections)
    if phase == "zero" and n_times <= pad:
        raise ValueError(f"a zero-phase filter of {len(sections)} sections needs over {pad} samples, found {n_times}")
    signals = x.reshape(-1, n_times)
    filtered = torch.empty_like(signals)
    at_once = max(1, _SAMPLES_AT_ONCE.get(x.device.type, _SAMPLES_AT_ONCE_ELSEWHERE) // n_times)
    for start in range(0, len(signals), at_once):
        part = signals[start : start + at_once]
        result = _causal(part, sections) if phase == "causal" else _zero_phase(part, sections, pad)
        filtered[start : start + at_once] = result
    return filtered.reshape(x.shape)


def padding(sections: Sections) -> int:
    """Return by how many samples ``sosfiltfilt`` extends a signal at each end: three times the number of taps."""
    without = min(sum(section[place] == 0 for section in sections) for place in (2, 5))
    return 3 * (2 * len(sections) + 1 - without)


def impulse_response(sections: Sections, n_times: int) -> Float64[np.ndarray, " time"]:
    """Return the first ``n_times`` samples of what an impulse becomes."""
    response = [1.0] + [0.0] * (n_times - 1)
    for b0, b1, b2, _, a1, a2 in sections:
        first = second = 0.0
        for time, sample in enumerate(response):
            response[time] = filtered = b0 * sample + first
            first = b1 * sample - a1 * filtered + second
            second = b2 * sample - a2 * filtered
    return np.array(response)


def _causal(x: Float32[Tensor, "signal time"], sections: Sections) -> Float32[Tensor, "signal time"]:
    n_times = x.shape[1]
    spectrum, size = _transfer(sections, n_times)
    product = torch.fft.rfft(x, size).mul_(torch.from_numpy(spectrum).to(x.device))
    filtered: Tensor = torch.fft.irfft(product, size)
    return filtered[:, :n_times]


def _zero_phase(x: Float32[Tensor, "signal time"], sections: Sections, pad: int) -> Float32[Tensor, "signal time"]:
    start = 2 * x[:, :1] - x[:, 1 : pad + 1].flip(1)
    end = 2 * x[:, -1:] - x[:, -pad - 1 : -1].flip(1)
    forwards = _from_steady(torch.cat([start, x, end], dim=1), sections)
    return _from_steady(forwards.flip(1), sections).flip(1)[:, pad:-pad]


def _from_steady(x: Float32[Tensor, "signal time"], sections: Sections) -> Float32[Tensor, "signal time"]:
    """Return signals filtered as if their first value had stood there for ever (``sosfilt_zi``).

    The filter is linear: the constant passes with the gain at 0 Hz, what deviates from it starts from rest.
    """
    constant = x[:, :1]
    gain = np.prod([sum(section[:3]) / sum(section[3:]) for section in sections])
    return _causal(x - constant, sections) + float(gain) * constant


@lru_cache(maxsize=64)
def _transfer(sections: Sections, n_times: int) -> tuple[Complex64[np.ndarray, " freq"], int]:
    """Return the transform of the impulse response and its size, at which the convolution does not wrap around."""
    response = impulse_response(sections, n_times)
    rest = np.cumsum(np.abs(response)[::-1])[::-1]
    response = response[rest > _NEGLIGIBLE * rest[0]]
    size = _fast_size(n_times + len(response) - 1)
    return np.fft.rfft(response, size).astype(np.complex64), size


def _fast_size(least: int) -> int:
    """Return the next even number whose prime factors are 2, 3 and 5, for which transforms are fast."""
    size = least + least % 2
    while _without_small_factors(size) > 1:
        size += 2
    return size


def _without_small_factors(number: int) -> int:
    for factor in (2, 3, 5):
        while number % factor == 0:
            number //= factor
    return number


def _check_band(low_hz: float, high_hz: float) -> None:
    if not 0 < low_hz < high_hz < NYQUIST_HZ:
        raise ValueError(
            f"expected 0 < low_hz < high_hz < {NYQUIST_HZ:g} (half the sampling rate), "
            f"found low_hz {low_hz:g} and high_hz {high_hz:g}"
        )
