"""What augmentations change: batches of raw recordings or of images, with their targets and weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hms_search.component import Component
from hms_search.eeg.shapes import Kind

Change = Callable[[Tensor], Tensor]
Mix = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recordings:
    """Recordings before the input pipeline.

    ``eeg`` is in microvolts, electrodes in the order of the file, NaN where missing. ``log_power`` is the natural log
    of the 10-minute spectrogram's power, columns LL, RL, LP, RP x 100 frequencies, -inf for power 0 and NaN where
    missing.
    Both have the labelled 10 s in their middle. None: not part of the experiment.
    """

    eeg: Float[Tensor, "batch time 20"] | None
    log_power: Float[Tensor, "batch row 400"] | None
    target: Float[Tensor, "batch classes"]
    weight: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.target)

    def changed(
        self, rows: Int[Tensor, " acting"], *, eeg: Change | None = None, log_power: Change | None = None
    ) -> "Recordings":
        """Return the batch with some rows' EEG and log power passed through functions; the other rows to the bit."""
        return replace(
            self,
            eeg=self.eeg if self.eeg is None or eeg is None else _changed(self.eeg, rows, eeg),
            log_power=(
                self.log_power
                if self.log_power is None or log_power is None
                else _changed(self.log_power, rows, log_power)
            ),
        )

    def mixed(
        self, rows: Int[Tensor, " acting"], partners: Int[Tensor, " acting"], *, eeg: Mix, log_power: Mix, labels: Mix
    ) -> "Recordings":
        """Return the batch with some rows mixed with their partners, as both were before."""
        return Recordings(
            eeg=None if self.eeg is None else _mixed(self.eeg, rows, partners, eeg),
            log_power=None if self.log_power is None else _mixed(self.log_power, rows, partners, log_power),
            target=_mixed(self.target, rows, partners, labels),
            weight=_mixed(self.weight, rows, partners, labels),
        )


@dataclass(frozen=True)
class Images:
    """The network's input, after the input pipeline: frequency by time, or planes of it."""

    x: Float[Tensor, "batch channel height width"]
    target: Float[Tensor, "batch classes"]
    weight: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.target)

    def changed(self, rows: Int[Tensor, " acting"], change: Change) -> "Images":
        """Return the batch with some rows' images passed through a function; the other rows to the bit."""
        return replace(self, x=_changed(self.x, rows, change))

    def mixed(self, rows: Int[Tensor, " acting"], partners: Int[Tensor, " acting"], *, x: Mix, labels: Mix) -> "Images":
        """Return the batch with some rows mixed with their partners, as both were before."""
        return Images(
            x=_mixed(self.x, rows, partners, x),
            target=_mixed(self.target, rows, partners, labels),
            weight=_mixed(self.weight, rows, partners, labels),
        )


class OfImages(Component):
    """What augmentations of images have in common.

    Attributes
    ----------
    of
        Where EEG and spectrogram are images apart: which of them is changed; null: both.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("image",)
    of: Kind | None = None


def each(per_sample: Tensor, like: Tensor) -> Tensor:
    """Return one number per sample, on the device of a batch and shaped to act on all of that sample's values."""
    return per_sample.to(like.device).reshape(-1, *[1] * (like.ndim - 1))


def _changed(x: Tensor, rows: Tensor, change: Change) -> Tensor:
    if not len(rows):
        return x
    rows = rows.to(x.device)
    return x.index_copy(0, rows, _as_type(change(x[rows]), x.dtype))


def _mixed(x: Tensor, rows: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    return _changed(x, rows, lambda own: mix(own, x[partners.to(x.device)]))


def _as_type(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor in a type; a finite value beyond the type's range stays finite, at its end."""
    if x.dtype == dtype:
        return x
    limits = torch.finfo(dtype)
    return torch.where(x.isfinite(), x.clamp(limits.min, limits.max), x).to(dtype)
