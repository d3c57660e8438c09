"""The exceptions of hms_search, one tree.

HmsSearchError
├── ConfigError      a YAML document, an option or a path in it is wrong
├── DataError        a data folder, a file or a Store is missing, damaged or does not fit
├── StudyError       a study cannot be created, resumed or found
├── TrainingError    a fold diverged or ran out of memory; ends the trial as failed
├── CheckpointError  weights or a checkpoint cannot be read or do not fit the model
├── TrackingError    the MLflow store cannot be reached or written
└── ServerError      a server on this machine does not start, or ended by itself
TrialStopped         not an error: the search decided to end this trial

Every message says what was expected, what was found, and what to do.
"""

from typing import Literal

Stopping = Literal["pruned", "paused", "interrupted"]
"""Why the search stops a trial."""


class HmsSearchError(Exception):
    """Root of all errors a user can cause and mend; the command line shows its message without a traceback."""


class ConfigError(HmsSearchError):
    """A configuration is wrong; the message lists every fault, with file and line where known."""


class DataError(HmsSearchError):
    """A data folder, file or Store is missing, damaged or does not fit the configuration."""


class StudyError(HmsSearchError):
    """A study cannot be created, resumed or found."""


class TrainingError(HmsSearchError):
    """Training diverged or ran out of memory; the reason is the message."""


class CheckpointError(HmsSearchError):
    """Weights or a checkpoint cannot be read or do not fit the model."""


class TrackingError(HmsSearchError):
    """The tracking store cannot be reached or written."""


class ServerError(HmsSearchError):
    """A server on this machine does not start, or ended by itself."""


class TrialStopped(Exception):
    """The search decided to end or pause this trial; crosses the trainer from ``on_epoch``."""

    def __init__(self, reason: Stopping) -> None:
        super().__init__(reason)
        self.reason = reason
