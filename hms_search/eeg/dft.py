"""Power of short frames of a signal at chosen frequencies: the Fourier transform as a matrix product.

A spectrogram of EEG keeps a fifth of the bins of a transform that is mostly padding: of 513 bins 103 lie below 20 Hz,
and of 1024 points 128 are under the window. Then cosines and sines times window, as a matrix, are several times faster
than an FFT. A frame is folded about its middle first: cosines see the sum of two mirrored samples, sines their
difference, so each product has half of the taps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

SFREQ = 200
"""Samples per second of every recording."""
_CHUNK_VALUES = {"cpu": 2**22, "cuda": 2**27}
"""Float32 values that are held in between at a time. On a CPU 16 MiB, a recording of 16 derivations, stay in its cache:
seven recordings at a time took 1.6 times as long, 32 three times."""

Window = Literal["hann", "cosine", "tukey", "boxcar"]


@dataclass(frozen=True)
class Frames:
    """Where the frames of a signal lie; outside the signal are zeros.

    Attributes
    ----------
    taps
        Samples of a frame, an even number.
    hop
        Samples from the start of a frame to that of the next.
    start
        First sample of the first frame; negative: before the signal begins.
    count
        How many frames there are.
    """

    taps: int
    hop: int
    start: int
    count: int


class Basis(NamedTuple):
    """Windowed cosines from the middle of a frame outwards, and sines, which are 0 in the middle, from next to it."""

    cosines: Float[Tensor, "freq even"]
    sines: Float[Tensor, "freq odd"]


def power(
    x: Float[Tensor, "batch derivation time"], frames: Frames, basis: Basis, *, detrend: bool = False
) -> Float[Tensor, "batch derivation freq frame"]:
    """Return |sum_n w_n x_n e^(-2 pi i f n / 200)|^2 of each frame and frequency, in squared units of the signal.

    ``detrend`` takes each frame's mean off before the window, as ``scipy.signal.spectrogram`` does.
    """
    signals = rearrange(x, "batch derivation time -> (batch derivation) time")
    even, odd = _folded(_framed(signals, frames), n_half=basis.cosines.shape[1], detrend=detrend)
    real = torch.bmm(basis.cosines.expand(len(signals), -1, -1), even.mT)
    imaginary = torch.bmm(basis.sines.expand(len(signals), -1, -1), odd.mT)
    squares = real.square_().add_(imaginary.square_())
    return rearrange(squares, "(batch derivation) freq frame -> batch derivation freq frame", batch=len(x))


@lru_cache(maxsize=64)
def fourier_basis(window: Window, taps: int, frequencies: tuple[float, ...], device: torch.device) -> Basis:
    """Return the basis of a periodic window at frequencies in Hz, float32."""
    weights = window_taps(window, taps)
    outwards = np.arange(taps // 2 + (weights[0] != 0))
    angles = 2 * np.pi / SFREQ * np.outer(frequencies, outwards)
    mirrored = weights[taps // 2 - outwards]
    cosines, sines = mirrored * np.cos(angles), (mirrored * np.sin(angles))[:, 1:]
    return Basis(*(torch.from_numpy(waves.astype(np.float32)).to(device) for waves in (cosines, sines)))


def window_taps(window: Window, taps: int) -> Float[np.ndarray, " tap"]:
    """Return a periodic window, float64, as ``scipy.signal.get_window`` does; ``tukey`` with its default 0.25 there.

    All are mirror images of themselves about the tap in the middle, but for the first tap, which has no partner.
    """
    n = np.arange(taps, dtype=np.float64)
    weights: Float[np.ndarray, " tap"] = np.ones(taps)
    if window == "hann":
        weights = 0.5 - 0.5 * np.cos(2 * np.pi * n / taps)
    elif window == "cosine":
        weights = np.sin(np.pi / (taps + 1) * (n + 0.5))
    elif window == "tukey":
        rise = 0.125 * taps
        weights = 0.5 - 0.5 * np.cos(np.pi * np.minimum(np.minimum(n, taps - n) / rise, 1))
    return weights


def by_chunks(
    transform: Callable[[Float[Tensor, "batch derivation time"]], Tensor],
    x: Float[Tensor, "batch derivation time"],
    values_each: int,
) -> Tensor:
    """Return ``transform`` of recordings, taken a few at a time as float32: the memory it needs is bounded.

    ``values_each`` is how many values the largest arrays of one recording have in between.
    """
    size = max(1, _CHUNK_VALUES.get(x.device.type, 2**27) // max(1, values_each))
    with torch.autocast(x.device.type, enabled=False):  # 80 dB of range are beyond half precision
        first = transform(x[:size].float())
        whole = first.new_empty((len(x), *first.shape[1:]))
        whole[:size] = first
        for start in range(size, len(x), size):
            whole[start : start + size] = transform(x[start : start + size].float())
    return whole


def _framed(x: Float[Tensor, "signal time"], frames: Frames) -> Float[Tensor, "signal frame tap"]:
    last = frames.start + frames.hop * (frames.count - 1) + frames.taps
    before, after = max(0, -frames.start), max(0, last - x.shape[1])
    padded = functional.pad(x, (before, after)) if before or after else x
    return padded[:, before + frames.start : before + last].unfold(1, frames.taps, frames.hop)


def _folded(
    framed: Float[Tensor, "signal frame tap"], *, n_half: int, detrend: bool
) -> tuple[Float[Tensor, "signal frame even"], Float[Tensor, "signal frame odd"]]:
    """Return the middle and the sums of samples at equal distance from it, outwards; and their differences.

    ``n_half`` is half of the taps, or one more to take in the first tap, which has no partner.
    """
    if detrend:
        framed = framed - framed.mean(dim=2, keepdim=True)
    middle = framed.shape[2] // 2
    even = framed[:, :, middle + 1 - n_half : middle + 1].flip(2)
    after = framed[:, :, middle + 1 :]
    if n_half > middle:
        after = functional.pad(after, (0, 1))
    odd = after - even[:, :, 1:]
    even[:, :, 1:] += after
    return even, odd
