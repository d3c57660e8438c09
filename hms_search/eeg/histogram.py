"""Log power and its histograms: what makes data-wide statistics cost nothing for any clip bounds.

A recording's histogram is counted once, when the data is prepared. The mean and standard deviation of the values
clipped to *any* bounds then follow from sums over bins instead of another pass over the data set.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LOWEST, HIGHEST, BINS_PER_UNIT = -24.0, 24.0, 32
N_BINS = int((HIGHEST - LOWEST) * BINS_PER_UNIT)
BELOW, ABOVE, MISSING = N_BINS, N_BINS + 1, N_BINS + 2
N_COUNTS = N_BINS + 3
"""Bins, then the values below LOWEST (power 0 has log -inf), the values from HIGHEST up, and the NaNs."""
_EDGES = LOWEST + np.arange(N_BINS + 1) / BINS_PER_UNIT


@dataclass(frozen=True)
class Moments:
    """Mean and population standard deviation of clipped log power, and how many values they describe."""

    mean: float
    std: float
    count: int


def log_power(power: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the natural logarithm of spectrogram power, float32: 0 (and below) becomes -inf, NaN stays NaN."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(np.asarray(power, dtype=np.float32), np.float32(0)))


def count_log_power(log_power: Float[np.ndarray, "..."]) -> Int[np.ndarray, " counts"]:
    """Return the histogram ``[N_COUNTS]`` uint32 of natural-log power values of any shape, NaN and -inf included.

    Values are rounded to float16, as the Store keeps them, and looked up by their bit pattern.
    """
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(log_power, dtype=np.float16)
    return np.bincount(_BIN_OF_PATTERN[half.view(np.uint16).ravel()], minlength=N_COUNTS).astype(np.uint32)


def _bin_of_pattern() -> Int[np.ndarray, "65536"]:
    """Return the place in the histogram of each of the 65,536 float16 values, int16."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    missing = np.isnan(values)
    scaled = (np.where(missing, 0, values).astype(np.float64) - LOWEST) * BINS_PER_UNIT
    index = np.floor(np.clip(scaled, -1, N_BINS)).astype(np.int16)
    index[index < 0] = BELOW
    index[scaled >= N_BINS] = ABOVE
    index[missing] = MISSING
    return index


_BIN_OF_PATTERN = _bin_of_pattern()
# What rounds up to an edge is counted above it, so before rounding to float16 a bin began half a step lower.
_ROUNDED_EDGES = _EDGES - np.spacing(np.abs(_EDGES).astype(np.float16)).astype(np.float64) / 2


def clipped_moments(
    counts: Int[np.ndarray, " counts"], low: float, high: float, *, gaps_at_low: bool = True
) -> Moments:
    """Return mean and standard deviation of the counted values clipped to ``[low, high]`` (natural log).

    Parameters
    ----------
    counts
        Sum of :func:`count_log_power` over the recordings, ``[N_COUNTS]``.
    low, high
        Clip bounds, inside ``[LOWEST, HIGHEST]``.
    gaps_at_low
        True: a NaN counts as ``low``, as in the baseline, whose -1 is clipped there. False: NaNs are left out.

    A bin is taken as uniform between its edges; the part of the bin that a bound cuts off counts at the bound.
    Against the direct computation on float16 values the mean is off by 1e-3 at most where the values spread over many
    bins (in ``tests/eeg/test_histogram.py``), and by 1/64, half a bin, whatever they are.
    """
    edges = _ROUNDED_EDGES
    counts = counts.astype(np.float64)
    inner, below, above, nan = counts[:N_BINS], counts[BELOW], counts[ABOVE], counts[MISSING]
    left, right = np.clip(edges[:-1], low, high), np.clip(edges[1:], low, high)
    width = edges[1:] - edges[:-1]
    inside = (right - left) / width
    beyond_low = np.clip(low - edges[:-1], 0, width) / width
    beyond_high = np.clip(edges[1:] - high, 0, width) / width
    centre, square = (left + right) / 2, (left**2 + left * right + right**2) / 3
    at_low = below + (inner * beyond_low).sum() + (nan if gaps_at_low else 0.0)
    at_high = above + (inner * beyond_high).sum()
    total = inner.sum() + below + above + (nan if gaps_at_low else 0.0)
    if total == 0:
        raise ValueError("no values to take statistics of: every value is NaN")
    mean = ((inner * inside * centre).sum() + at_low * low + at_high * high) / total
    mean_square = ((inner * inside * square).sum() + at_low * low**2 + at_high * high**2) / total
    return Moments(float(mean), float(np.sqrt(max(mean_square - mean**2, 0.0))), int(total))
