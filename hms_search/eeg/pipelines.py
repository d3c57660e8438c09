"""Every input pipeline, told apart by ``source``: what of a patient's recordings a network looks at.

As configured, each has ``kinds``, the recordings it reads; ``shape``, of its images; and ``any_length``. Fitted, each
has ``inputs(recordings)``: recordings by kind become the network's input.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from hms_search.component import Field
from hms_search.eeg.both_pipeline import BothPipeline, FittedBothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.shapes import Kind

Pipeline = Annotated[SpectrogramPipeline | EegPipeline | BothPipeline | FftPipeline, Field(discriminator="source")]
"""Every pipeline as it is configured; fitting (:mod:`hms_search.data.fitting`) makes it one that runs."""

FittedPipeline = InputPipeline | FittedEegPipeline | FittedBothPipeline | FittedFftPipeline
"""Every pipeline with the statistics it was fitted with, as it is saved with a network."""

Inputs = Tensor | dict[Kind, Tensor]
"""A network's input: images ``[batch, channel, height, width]``, or those of each kind."""


def joined(inputs: Sequence[Inputs]) -> Inputs:
    """Return the inputs of several parts of a batch as one."""
    if len(inputs) == 1:
        return inputs[0]
    apart = [part for part in inputs if isinstance(part, dict)]
    if apart:
        return {kind: torch.cat([part[kind] for part in apart]) for kind in apart[0]}
    return torch.cat([part for part in inputs if isinstance(part, Tensor)])
