"""The centre: one configuration, trained and scored on some folds of one Store."""

from hms_search.experiment.config import ExperimentConfig
from hms_search.experiment.run import ExperimentResult, has_experiment, run_experiment, weights_file

__all__ = ["ExperimentConfig", "ExperimentResult", "has_experiment", "run_experiment", "weights_file"]
