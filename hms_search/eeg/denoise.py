"""Wavelet denoising as the competition's notebooks copied it (Yusaku5739's function, wavelet db8, level 1).

A signal is decomposed to the deepest level as by PyWavelets' ``wavedec(x, "db8", mode="periodization")``, small detail
coefficients are set to 0, and it is put together again. The transform is written here as matrix products, because where
a model is used there may be no PyWavelets, and for whole batches at once.
"""

import math
from functools import cache

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

_SMOOTHING = (
    *(-0.00011747678412476953, 0.0006754494064505693, -0.00039174037337694705, -0.004870352993451574),
    *(0.008746094047405777, 0.013981027917398282, -0.044088253930794755, -0.017369301001807547),
    *(0.12874742662047847, 0.0004724845739132828, -0.2840155429615469, -0.015829105256349306),
    *(0.5853546836542067, 0.6756307362972898, 0.31287159091429995, 0.05441584224310401),
)
"""The decomposing low-pass of Daubechies' wavelet with eight vanishing moments, as PyWavelets numbers it (db8)."""
_TAPS = len(_SMOOTHING)
_EDGE = _TAPS // 2 - 1
"""How many samples before and after itself a pair of coefficients depends on."""
_BLOCK = 32
"""Samples that pass one matrix product at once: a convolution of one channel takes five times as long on a CPU."""
_SIGMA_OF_A_NORMAL = 0.6745
"""The median absolute deviation of a normal distribution, in standard deviations."""


def denoised(x: Float32[Tensor, "*rows time"]) -> Float32[Tensor, "*rows time"]:
    """Return signals without their small wavelet coefficients, of the length they had.

    Every detail coefficient with a magnitude below sigma * sqrt(2 ln n_times) becomes 0 (hard threshold); sigma is the
    *mean* absolute deviation of the finest details from their mean, over 0.6745. The approximation stays.

    Raises
    ------
    ValueError
        Where the signals are shorter than 30 samples, which leave no level to decompose.
    """
    n_times = x.shape[-1]
    if n_times < 2 * (_TAPS - 1):
        raise ValueError(f"wavelet denoising needs signals of at least {2 * (_TAPS - 1)} samples, found {n_times}")
    approximation = x.reshape(-1, n_times)
    details = []
    for _ in range(int(math.log2(n_times / (_TAPS - 1)))):
        approximation, detail = _decomposed(approximation)
        details.append(detail)
    threshold = _noise_of(details[0]) * math.sqrt(2 * math.log(n_times))
    for level in range(len(details) - 1, -1, -1):
        kept = torch.where(details[level].abs() < threshold, 0, details[level])
        length = details[level - 1].shape[1] if level else n_times
        approximation = _recomposed(approximation, kept)[:, :length]
    return approximation.reshape(x.shape)


def _noise_of(finest: Float32[Tensor, "signal coefficient"]) -> Float32[Tensor, "signal 1"]:
    deviation = (finest - finest.mean(dim=1, keepdim=True)).abs()
    return deviation.mean(dim=1, keepdim=True) / _SIGMA_OF_A_NORMAL


def _decomposed(
    x: Float32[Tensor, "signal time"],
) -> tuple[Float32[Tensor, "signal half"], Float32[Tensor, "signal half"]]:
    """Return approximation and detail of one level; the signal repeats itself, an odd one its last sample first."""
    even = torch.cat([x, x[:, -1:]], dim=1) if x.shape[1] % 2 else x
    rest = torch.zeros(len(x), -even.shape[1] % _BLOCK, device=x.device)
    around = torch.cat([even[:, -_EDGE:], even, even[:, :_EDGE], rest], dim=1)
    blocks = rearrange(around.unfold(1, _BLOCK + 2 * _EDGE, _BLOCK), "signal block place -> (signal block) place")
    products = blocks @ torch.from_numpy(_analysis()).to(x.device)
    bands = rearrange(products, "(signal block) (band place) -> band signal (block place)", signal=len(x), band=2)
    return bands[0, :, : even.shape[1] // 2], bands[1, :, : even.shape[1] // 2]


def _recomposed(
    approximation: Float32[Tensor, "signal half"], detail: Float32[Tensor, "signal half"]
) -> Float32[Tensor, "signal time"]:
    """Return the signal of one level: the transform is orthogonal, so its inverse is its transpose."""
    half = detail.shape[1]
    bands = functional.pad(torch.stack([approximation, detail]), (0, -half % (_BLOCK // 2)))
    blocks = rearrange(bands, "band signal (block place) -> signal block (band place)", place=_BLOCK // 2)
    spread = blocks @ torch.from_numpy(_analysis()).to(detail.device).T
    spread[:, 1:, : 2 * _EDGE] += spread[:, :-1, _BLOCK:]
    inner = rearrange(spread[:, :, :_BLOCK], "signal block place -> signal (block place)")
    around = torch.cat([inner, spread[:, -1, _BLOCK:]], dim=1)[:, : 2 * (half + _EDGE)]
    signal = around[:, _EDGE:-_EDGE]
    signal[:, -_EDGE:] += around[:, :_EDGE]
    signal[:, :_EDGE] += around[:, -_EDGE:]
    return signal


@cache
def _analysis() -> Float32[np.ndarray, "samples coefficients"]:
    """Return what turns a block of samples and its neighbours into approximations and then details.

    The high-pass is the low-pass backwards with alternating signs; both are read backwards, as a convolution does.
    """
    smoothing = np.array(_SMOOTHING)
    bands = np.zeros((_BLOCK + 2 * _EDGE, 2, _BLOCK // 2), dtype=np.float32)
    for place in range(_BLOCK // 2):
        bands[2 * place : 2 * place + _TAPS, 0, place] = smoothing[::-1]
        bands[2 * place : 2 * place + _TAPS, 1, place] = smoothing * np.tile([1, -1], _TAPS // 2)
    return rearrange(bands, "sample band place -> sample (band place)")
