"""A mel spectrogram whose middle, which the experts voted on, is drawn at a finer time scale."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.contrast import with_contrasts
from hms_search.eeg.dft import by_chunks
from hms_search.eeg.mel import LogMel
from hms_search.eeg.mel_bands import Mel


class Zoom(Component):
    """Mel spectrograms of the derivations with the middle recomputed in finer steps and spliced in (3rd place).

    Attributes
    ----------
    overview
        The spectrogram of the whole recording.
    close_up
        That of its middle; as many bands as the overview.
    samples
        Length of the middle; a shorter recording is taken whole. The experts' ten seconds are 2000.
    replaced
        Share of the overview's columns, about the middle, whose place the close-up takes.
    contrasts
        Whether the planes of :func:`hms_search.eeg.contrast.with_contrasts` follow those of the derivations.
    """

    name: Literal["zoom"] = "zoom"
    overview: LogMel = LogMel(
        mel=Mel(n_fft=512, n_mels=64, low_hz=0.53, high_hz=30, scale="htk", top_db=100), hop_length=32, reference="unit"
    )
    close_up: LogMel = LogMel(
        mel=Mel(n_fft=2048, win_length=16, n_mels=64, low_hz=0.53, high_hz=30, scale="htk", top_db=100),
        hop_length=4,
        reference="unit",
    )
    samples: int = Field(2400, ge=16)
    replaced: float = Field(0.2, ge=0, le=1)
    contrasts: bool = True

    @model_validator(mode="after")
    def _fits(self) -> "Zoom":
        bands = self.overview.mel.n_mels, self.close_up.mel.n_mels
        if bands[0] != bands[1]:
            raise ValueError(f"overview and close_up need as many mel bands, found {bands[0]} and {bands[1]}")
        if self.overview.contrasts or self.close_up.contrasts:
            raise ValueError("contrasts are of the spliced planes: write contrasts beside overview, not in it")
        return self

    def forward(
        self, x: Float[Tensor, "batch derivation time"], chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch plane freq frame"]:
        """Return one plane per derivation, or three: the beginning, the close-up, the end."""

        def transform(part: Tensor) -> Tensor:
            planes = self._spliced(part)
            return with_contrasts(planes, chains) if self.contrasts else planes

        return by_chunks(transform, x, x.shape[1] * x.shape[2] * self.overview.mel.n_mels // 8)

    def _spliced(self, x: Float[Tensor, "batch derivation time"]) -> Float[Tensor, "batch derivation freq frame"]:
        length = min(self.samples, x.shape[2])
        start = (x.shape[2] - length) // 2
        wide = self.overview.forward(x, ())
        close = self.close_up.forward(x[:, :, start : start + length], ())
        half = int(wide.shape[3] * self.replaced / 2)
        middle = wide.shape[3] // 2
        return torch.cat([wide[..., : middle - half], close, wide[..., middle + half :]], dim=3)
