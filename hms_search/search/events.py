"""What happens in a study, for whoever shows it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hms_search.search.lineage import Change
from hms_search.search.study import StudyConfig
from hms_search.search.trial import EpochEnded, TrialEnded, Verdict


@dataclass(frozen=True)
class Submitted:
    """A trial was handed to a worker; ``to_come`` more may be started, in whatever session.

    Of a study with a budget, all its trials had been trained for ``epochs`` by then, those that ended or paused for
    ``hours``. The session goes on for ``seconds_left``.
    """

    number: int
    slot: int
    params: Mapping[str, object]
    baseline: bool
    to_come: int
    epochs: int = 0
    hours: float = 0.0
    seconds_left: float = math.inf


@dataclass(frozen=True)
class Judged:
    """An epoch was validated, and judged unless it is one of the folds of the other level."""

    ended: EpochEnded
    verdict: Verdict


@dataclass(frozen=True)
class Finished:
    """A trial ended and the study knows."""

    ended: TrialEnded


@dataclass(frozen=True)
class RoundBegan:
    """A later round goes on, as a study of its own, in the space that the one before left."""

    number: int
    config: StudyConfig
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Notice:
    """Something a person should read: a warning, or what the coordinator is about to do."""

    text: str
    warning: bool = False


Event = Submitted | Judged | Finished | RoundBegan | Notice | None
"""None is a tick: nothing happened for a moment."""
