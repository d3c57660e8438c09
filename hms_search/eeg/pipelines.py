"""Every input pipeline, told apart by ``source``: what of a patient's recording a network looks at."""

from typing import Annotated

from hms_search.component import Field
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline, planes_of_silence
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.shapes import ImageShape

Pipeline = Annotated[SpectrogramPipeline | EegPipeline, Field(discriminator="source")]
"""Every pipeline as it is configured; ``fit`` makes it one that runs."""

FittedPipeline = InputPipeline | FittedEegPipeline
"""Every pipeline with the statistics it was fitted with, as it is saved with a network."""


def input_shape(pipeline: FittedPipeline) -> ImageShape:
    """Return the shape of a pipeline's images."""
    if isinstance(pipeline, InputPipeline):
        return ImageShape(1, pipeline.config.resize)
    config = pipeline.config
    channels, height, width = planes_of_silence(config.montage, config.representation, config.layout).shape[1:]
    return ImageShape(channels, config.resize or (height, width))
