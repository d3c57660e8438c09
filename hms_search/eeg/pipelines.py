"""Every input pipeline, told apart by ``source``: what of a patient's recording a network looks at."""

from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline

Pipeline = SpectrogramPipeline
"""Every pipeline as it is configured; ``fit`` makes it one that runs."""

FittedPipeline = InputPipeline
"""Every pipeline with the statistics it was fitted with, as it is saved with a network."""
