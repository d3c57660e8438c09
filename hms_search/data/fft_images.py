"""Images of seizures, each made once: nothing random happens before them, and those of 2,000 files take 12 MB."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hms_search.data.seizure_types import SeizureTypes
from hms_search.eeg.fft_pipeline import FittedFftPipeline


class FftImages:
    """The images that a pipeline makes of seizures, kept when they are made; each of its file alone."""

    def __init__(self, seizures: SeizureTypes, pipeline: FittedFftPipeline) -> None:
        self._seizures, self._pipeline = seizures, pipeline
        self._made: dict[int, Tensor] = {}

    def of(self, rows: Int[np.ndarray, " batch"]) -> Float[Tensor, "batch plane 20 24"]:
        """Return the images of some rows, in their order."""
        return torch.stack([self._image(row) for row in rows.tolist()])

    def _image(self, row: int) -> Float[Tensor, "plane 20 24"]:
        if row not in self._made:
            samples = torch.from_numpy(self._seizures.recording(row)["fft"])
            self._made[row] = self._pipeline.forward(samples[None])[0]
        return self._made[row]
