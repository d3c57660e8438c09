"""The centre: one configuration, trained and scored on some folds of one Store."""

from hms_search.component import Component
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.models import Model
from hms_search.training.config import TrainingConfig


class ExperimentConfig(Component):
    """All that defines an experiment but its data, folds and seed; what a search space varies."""

    pipeline: SpectrogramPipeline = SpectrogramPipeline()
    model: Model
    training: TrainingConfig = TrainingConfig()
