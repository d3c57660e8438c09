"""The exceptions of hms_search, one tree.

HmsSearchError
├── ConfigError      a YAML document, an option or a path in it is wrong
├── DataError        a data folder, a file or a Store is missing, damaged or does not fit
├── DiskError        a disk is full, or a folder may not be written
├── StudyError       a study cannot be created, resumed or found
├── TrainingError    a fold diverged or ran out of memory; ends the trial as failed
├── CheckpointError  weights or a checkpoint cannot be read or do not fit the model
├── TrackingError    the MLflow store cannot be reached or written
└── ServerError      a server on this machine does not start, or ended by itself
TrialStopped         not an error: the search decided to end this trial

Every message says what was expected, what was found, and what to do.
"""

import re
from typing import Literal

Stopping = Literal["pruned", "paused", "interrupted"]
"""Why the search stops a trial."""


_IN_ADDRESS = re.compile(r"([^\s/@:'\"]*:)(?!/)\S*@")
_IN_QUERY = re.compile(r"\b(password|passwd|pwd|token)=[^&\s'\"]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """Return a text as it may be shown: ``***`` for the passwords in its addresses, well written or not."""
    return _IN_QUERY.sub(r"\1=***", _IN_ADDRESS.sub(r"\1***@", text))


class HmsSearchError(Exception):
    """Root of all errors a user can cause and mend; the command line shows its message without a traceback."""


class ConfigError(HmsSearchError):
    """A configuration is wrong; the message lists every fault, with file and line where known."""


class DataError(HmsSearchError):
    """A data folder, file or Store is missing, damaged or does not fit the configuration."""


class DiskError(HmsSearchError):
    """A disk is full, or a folder may not be written; nothing that was finished is lost."""


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
