"""Time: resampling, reversal, shift, and dropout of edges or stretches. EEG and 10-minute spectrogram stay in sync.

What enters from beyond an edge is the mirror image of what lies before it: a batch holds no more than its windows.
"""

from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from hms_search.augment.batch import Recordings, each
from hms_search.augment.draws import Probability, acting, integers, spans, uniform
from hms_search.component import Component, Field, model_validator
from hms_search.data.hms import SPECTROGRAM_STEP_S
from hms_search.eeg.dft import SFREQ


class TimeResample(Component):
    """Time stretched about the middle by a factor from U(low, high); linear interpolation.

    15th place, 0.85 to 1.05 on every training sample: the 10-minute spectrogram only, whose frequencies stay; what is
    missing at its ends becomes 0 after normalisation there, the mirror image here. With ``eeg`` the EEG is stretched by
    the same factor; its frequencies are divided by it.
    """

    name: Literal["time_resample"] = "time_resample"
    p: Probability = 1.0
    low: float = Field(0.85, ge=0.5, le=2)
    high: float = Field(1.05, ge=0.5, le=2)
    eeg: bool = False

    @property
    def acts_on(self) -> tuple[str, ...]:
        """What it changes."""
        return ("eeg", "log_power") if self.eeg else ("log_power",)

    @model_validator(mode="after")
    def _in_order(self) -> "TimeResample":
        if self.low > self.high:
            raise ValueError(f"low must not be above high, found low {self.low:g} and high {self.high:g}")
        return self

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings stretched or squeezed."""
        rows = acting(self.p, len(batch), generator)
        factor = uniform(self.low, self.high, len(rows), generator)

        def stretched(x: Tensor) -> Tensor:
            last = x.shape[1] - 1
            from_middle = torch.arange(last + 1, device=x.device) - last / 2
            return _between(x, last / 2 + from_middle / factor.to(x.device)[:, None])

        return batch.changed(rows, eeg=stretched if self.eeg else None, log_power=stretched)


class TimeReversal(Component):
    """Time runs backwards, p 0.5 (3rd and 4th place, on EEG)."""

    acts_on: ClassVar[tuple[str, ...]] = ("eeg", "log_power")
    name: Literal["time_reversal"] = "time_reversal"
    p: Probability = 0.5

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings reversed."""
        rows = acting(self.p, len(batch), generator)
        return batch.changed(rows, eeg=lambda x: x.flip(1), log_power=lambda x: x.flip(1))


class WindowShift(Component):
    """The window is moved by U(-largest_s, largest_s) seconds, to whole samples and whole rows of the spectrogram.

    3rd place, a third of 50 s on every training sample. There the window moves over the whole file, as far as that
    reaches; here the mirror image of the window's edge enters. Its close-up (``zoom``) follows the labelled seconds and
    is then itself moved by U(-4, 4) s with p 0.7; here it stays in the window's middle, so before a ``zoom``
    ``{p: 0.7, largest_s: 4}`` is what keeps the labelled seconds in it.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg", "log_power")
    name: Literal["window_shift"] = "window_shift"
    p: Probability = 1.0
    largest_s: float = Field(50 / 3, gt=0, le=50)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings moved in time."""
        rows = acting(self.p, len(batch), generator)
        shift_s = uniform(-self.largest_s, self.largest_s, len(rows), generator)

        def moved(x: Tensor, step_s: float) -> Tensor:
            steps = (shift_s / step_s).round().long().to(x.device)
            return _at(x, _inside(torch.arange(x.shape[1], device=x.device) - steps[:, None], x.shape[1]))

        return batch.changed(
            rows, eeg=lambda x: moved(x, 1 / SFREQ), log_power=lambda x: moved(x, float(SPECTROGRAM_STEP_S))
        )


class EdgeDropout(Component):
    """Only the central fraction of the EEG stays, from U(least, 1); the rest becomes 0 microvolts.

    15th place: its write-up drops 0 to 95 % of the image edges. The released class computes this central fraction and
    changes nothing, so the exact rule and its probability are not known. On the EEG it acts on whatever image is made
    of it, and looks like the recordings of which only the middle 10 s exist.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["edge_dropout"] = "edge_dropout"
    p: Probability = 0.5
    least: float = Field(0.05, gt=0, le=1)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with the edges of some recordings emptied."""
        rows = acting(self.p, len(batch), generator)
        kept = uniform(self.least, 1.0, len(rows), generator)

        def emptied(x: Tensor) -> Tensor:
            n_times = x.shape[1]
            from_middle = (torch.arange(n_times, device=x.device) - (n_times - 1) / 2).abs()[:, None]
            return x.masked_fill(from_middle > each(kept, x) * n_times / 2, 0)

        return batch.changed(rows, eeg=emptied)


class TimeCutout(Component):
    """Stretches of time, ``cutouts`` of U(0, longest_s) seconds each, become each electrode's mean over the window.

    4th place (yu4u), p 0.5, four of up to 128 steps at 40 Hz, 0 after the mean was taken off; each chain has its own
    there, and its code, which takes the number of chains for the number of steps, reaches the first four steps only.
    Here the stretches are all electrodes', or derivations that share one would be left with half of a signal.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["time_cutout"] = "time_cutout"
    p: Probability = 0.5
    cutouts: int = Field(4, ge=1)
    longest_s: float = Field(3.2, gt=0, le=50)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with stretches cut out of some recordings."""
        rows = acting(self.p, len(batch), generator)
        lengths = integers(0, round(self.longest_s * SFREQ), (len(rows), self.cutouts), generator)

        def cut(x: Tensor) -> Tensor:
            taken = spans(x.shape[1], lengths, generator).any(dim=1)
            return torch.where(taken.to(x.device)[..., None], x.float().nanmean(dim=1, keepdim=True), x)

        return batch.changed(rows, eeg=cut)


def _inside(positions: Tensor, n_times: int) -> Tensor:
    """Return positions mirrored at the first and the last time, so that they lie between them."""
    last = n_times - 1
    return (last - (last - positions.abs()).abs()).clamp(0, last)


def _at(x: Float[Tensor, "batch time column"], index: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time column"]:
    """Return each sample's values at its own times; whole rows are copied, which is much faster than a gather."""
    starts = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    return rearrange(x, "batch time column -> (batch time) column")[starts + index]


def _between(
    x: Float[Tensor, "batch time column"], positions: Float[Tensor, "batch time"]
) -> Float[Tensor, "batch time column"]:
    """Return each sample's values at its own positions between two times; an infinite value stays one."""
    positions = _inside(positions, x.shape[1])
    before = positions.floor()
    share = (positions - before)[..., None]
    after = (before.long() + 1).clamp(max=x.shape[1] - 1)
    first, second = _at(x, before.long()), _at(x, after)
    return torch.where(share == 0, first, first * (1 - share) + second * share)
