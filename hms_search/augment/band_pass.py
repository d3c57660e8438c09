"""A narrower band-pass on some electrodes."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hms_search.augment.batch import Recordings
from hms_search.augment.draws import Probability, acting, some_of, uniform
from hms_search.augment.reference import common_part
from hms_search.component import Component, Field
from hms_search.eeg.dft import SFREQ
from hms_search.eeg.electrodes import SCALP


class NarrowBandPass(Component):
    """A band-pass from U(0, highest_low_hz) to U(lowest_high_hz, highest_high_hz) on 1 to ``most`` scalp electrodes.

    3rd place, p 0.2, up to 8 of 16 derivations, 0-2 Hz to 10-20 Hz, Butterworth of order 2. The gain is SciPy's
    ``butter(2, [low, high], "band", fs=200)``; it is applied in the frequency domain, to the window continued by its
    mirror image, so without a delay (there causal). What all electrodes have in common is not filtered: it would no
    longer cancel in the differences. Missing samples count as the electrode's mean and stay missing.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["narrow_band_pass"] = "narrow_band_pass"
    p: Probability = 0.2
    most: int = Field(8, ge=1, le=len(SCALP))
    highest_low_hz: float = Field(2.0, gt=0, le=5)
    lowest_high_hz: float = Field(10.0, gt=5, lt=SFREQ / 2)
    highest_high_hz: float = Field(20.0, gt=5, lt=SFREQ / 2)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some electrodes of some recordings filtered."""
        rows = acting(self.p, len(batch), generator)
        chosen = some_of(len(SCALP), 1, self.most, len(rows), generator)
        low_hz = uniform(_LOWEST_HZ, self.highest_low_hz, len(rows), generator)
        high_hz = uniform(self.lowest_high_hz, self.highest_high_hz, len(rows), generator)
        samples, electrodes = chosen.nonzero(as_tuple=True)

        def filtered(x: Tensor) -> Tensor:
            sample, electrode = samples.to(x.device), electrodes.to(x.device)
            low, high = low_hz.to(x.device)[sample], high_hz.to(x.device)[sample]
            common = common_part(x)[sample, :, 0]
            x = x.to(torch.float32, copy=True)
            x[sample, :, electrode] = common + band_passed(x[sample, :, electrode] - common, low, high)
            return x

        return batch.changed(rows, eeg=filtered)


def band_passed(
    signals: Float[Tensor, "signal time"], low_hz: Float[Tensor, " signal"], high_hz: Float[Tensor, " signal"]
) -> Float[Tensor, "signal time"]:
    """Return signals of 200 Hz, each in its own band; NaN stays where it is.

    Butterworth, order n = 2: gain^2 = 1 / (1 + ((w^2 - l h) / (w (h - l)))^2n) with w = tan(pi f / 200), as the
    bilinear transform warps frequencies, and l, h likewise.
    """
    n_times, missing = signals.shape[1], signals.isnan()
    whole = torch.where(missing, signals.nanmean(dim=1, keepdim=True).nan_to_num(), signals)
    spectrum = torch.fft.rfft(torch.cat([whole, whole.flip(1)], dim=1))
    hz = torch.arange(spectrum.shape[1], device=signals.device) * (SFREQ / (2 * n_times))
    w, low, high = (_warped(f) for f in (hz, low_hz[:, None], high_hz[:, None]))
    detuning = (w.square() - low * high) / (w * (high - low))  # infinite at 0 Hz, where the gain is 0
    gain = (1 + detuning**4).rsqrt()
    filtered = torch.fft.irfft(spectrum * gain, n=2 * n_times)[:, :n_times]
    return torch.where(missing, signals, filtered)


_LOWEST_HZ = 1e-4
"""As in the 3rd place's code: a band-pass cannot start at 0."""


def _warped(hz: Tensor) -> Tensor:
    return torch.tan(torch.pi * hz / SFREQ)
