"""Deotte's planes of the ten-minute spectrogram: what stands beside the spectrogram of the EEG."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LOW, _HIGH = -4.0, 8.0
_EPSILON = 1e-6
_WIDTH, _MARGIN = 256, 14


def kaggle_planes(log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch 4 128 256"]:
    """Return the regions LL, RL, LP, RP of recordings, standardised, halved, 14 zero rows above and below.

    Each region's natural-log power is clipped to [-4, 8] and standardised by its own mean and population standard
    deviation + 1e-6, gaps (NaN) left out and then 0. Of 300 times the middle 256 remain. The recipe is that of the
    "EfficientNetB2 Starter". Raises ValueError where there are fewer than 256 times.
    """
    n_times = log_power.shape[1]
    if n_times < _WIDTH:
        raise ValueError(f"kaggle planes need {_WIDTH} times of two seconds, found {n_times}")
    regions = rearrange(log_power.float(), "batch time (region freq) -> batch region freq time", region=4)
    clipped = regions.clamp(_LOW, _HIGH)
    mean = clipped.nanmean(dim=(2, 3), keepdim=True)
    std = (clipped - mean).square().nanmean(dim=(2, 3), keepdim=True).sqrt()
    standardised = ((clipped - mean) / (std + _EPSILON)).nan_to_num(nan=0.0) / 2
    start = (n_times - _WIDTH) // 2
    return functional.pad(standardised[..., start : start + _WIDTH], (0, 0, _MARGIN, _MARGIN))
