"""What a network is built for: the shape of its input, without the batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["eeg", "spectrogram", "fft"]
"""What is recorded of a patient: 50 s of EEG, its ten-minute spectrogram; or FFT samples of a seizure."""
KINDS: tuple[Kind, ...] = ("eeg", "spectrogram")
"""What the competition has of a recording."""


@dataclass(frozen=True)
class ImageShape:
    """Channels of an image, and its height and width where they are the same for every recording."""

    channels: int = 1
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"[{self.channels}, {', '.join(map(str, self.size or ('height', 'width')))}]"


InputShape = ImageShape | Mapping[Kind, ImageShape]
"""One image, or one of each kind of recording for a network that looks at several."""
