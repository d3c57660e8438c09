"""Missing samples and extreme ones: how a recording becomes finite and bounded before any other step."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Float32
from torch import Tensor

GapFill = Literal["mean", "zero", "interpolate"]


def fill_gaps(eeg: Float[Tensor, "batch time electrode"], how: GapFill) -> Float32[Tensor, "batch time electrode"]:
    """Return recordings as float32 with every NaN replaced; an electrode without any value becomes zeros.

    ``mean``: by the mean of the electrode's own samples (Deotte, 15th place). ``zero``: by 0 (3rd place).
    ``interpolate``: by the straight line between the samples on either side; before the first and after the last sample
    by the nearest one.
    """
    eeg = eeg.float()
    gaps = eeg.isnan()
    if not gaps.any():
        return eeg
    if how == "zero":
        return eeg.masked_fill(gaps, 0)
    if how == "mean":
        return torch.where(gaps, eeg.nanmean(dim=1, keepdim=True).nan_to_num(), eeg)
    filled = rearrange(eeg, "batch time electrode -> batch electrode time").contiguous()
    gappy = gaps.any(dim=1)
    filled[gappy] = _interpolated(filled[gappy])
    return rearrange(filled, "batch electrode time -> batch time electrode")


def clip_uv(eeg: Float[Tensor, "*shape"], limit_uv: float) -> Float[Tensor, "*shape"]:
    """Return a recording clipped to [-limit_uv, limit_uv] microvolts; the field clips at 1024."""
    return eeg.clamp(-limit_uv, limit_uv)


def _interpolated(signals: Float32[Tensor, "signal time"]) -> Float32[Tensor, "signal time"]:
    n_times = signals.shape[1]
    places = torch.arange(n_times, device=signals.device)
    known = ~signals.isnan()
    before = torch.where(known, places, -1).cummax(dim=1).values
    after = torch.where(known, places, n_times).flip(1).cummin(dim=1).values.flip(1)
    left = torch.where(before < 0, after, before).clamp_(max=n_times - 1)
    right = torch.where(after == n_times, before, after).clamp_(min=0)
    share = (places - left) / (right - left).clamp_(min=1)
    return torch.lerp(signals.gather(1, left), signals.gather(1, right), share).nan_to_num_()
