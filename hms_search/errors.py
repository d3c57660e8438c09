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


_AS_USER = re.compile(r"(\bhttps?://)[^\s/@:'\"]+(?:@|:@(?!\S*@))", re.IGNORECASE)
"""A token in the place of a web address's user, who has no password."""
_IN_URL = re.compile(r"(\b[a-z][\w+.-]*://(?=[^/\s])[^\s@:'\"]*:)\S*@", re.IGNORECASE)
"""``scheme://user:password@``, the password with slashes, quotes and signs that ought to have been escaped."""
_IN_URL_WITH_BLANKS = re.compile(
    r"(\b[a-z][\w+.-]*://(?=[^/\s])[^\s@:'\"]*:)(?=\S)(?!\d+(?:\W|$))(?:(?!://|['\"](?:[\s,;:.)]|$))[^@\n])*@(?=\w)",
    re.IGNORECASE,
)
"""The same with blanks in it; what begins as a port is one, and no password reaches into another address."""
_IN_ADDRESS = re.compile(r"((?:(?<=//)|(?<=:/)|(?<![^\s@=,;<(\['\"`]))[^\s/@:'\"]*:)(?!/)\S*@")
"""``user:password@`` without a scheme."""
_IN_SETTING = re.compile(
    r"((?:\b\w*(?:password|passwd|passphrase|secret)|\bpwd|\b(?:[a-z]+_)*(?:api|access|secret|private)[_-]?key"
    r"|\b(?:(?:access|api|auth|bearer|id|refresh|security|session)[_-]?|(?-i:[A-Z_]+_))?token)"
    r"[ \t]*=[ \t]*)"
    r"(?:(\\*['\"])(?:\\.|[^\\\n])*?\2"  # in quotes, which may be escaped themselves
    r"|['\"][^\s'\"].*"  # in quotes that were cut off
    r"|(?:[^&\s]|&(?![\w.-]+=))+?(?=['\"]?[,;:.)\]]*(?:&[\w.-]+=|\s|$)))",  # up to what surrounds the address
    re.IGNORECASE,
)
"""A setting of an address's query, or of PostgreSQL's own ``host=... password=...``; a plain ``key=`` is none."""


def without_password(text: str) -> str:
    """Return a text as it may be shown: ``***`` for the passwords in its addresses, well written or not."""
    for pattern, shown in (
        (_AS_USER, r"\1***@"),
        (_IN_URL, r"\1***@"),
        (_IN_URL_WITH_BLANKS, r"\1***@"),
        (_IN_ADDRESS, r"\1***@"),
        (_IN_SETTING, r"\1***"),
    ):
        text = pattern.sub(shown, text)
    return text


def one_line(error: BaseException) -> str:
    """Return an error's message in one line without passwords."""
    return without_password(" ".join(str(error).split()))


def driver_message(error: BaseException) -> str:
    """Return what a database's driver said, where an error came of that: SQLAlchemy adds the statement to it."""
    return one_line(getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error)


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
