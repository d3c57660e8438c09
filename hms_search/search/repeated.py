"""Trials that were run again: under other seeds, for the noise floor, or on other folds, for an honest best.

The best of many trials is best partly by luck, and the value that made it so is not among those found again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Literal, Self

import numpy as np
import optuna

from hms_search.search.storage import existing_storage

NOISE_KEY = "hms_search:noise"
RECHECK_KEY = "hms_search:recheck"
"""The study attributes with what :class:`Again` the two found last."""

Verdict = Literal["survives", "within noise", "not known"]
Over = Literal["seeds and patients", "patients", "seeds"]


@dataclass(frozen=True)
class Gain:
    """How much better a trial is than the baseline; above zero is better, whatever the measure.

    Attributes
    ----------
    recorded
        The gain in the study itself, by which the trial was chosen.
    mean, low, high
        The mean gain of the repetitions, and its 95 % interval; endless where there is only one of what it is over.
    over
        What the interval is over: what else could have been drawn.
    """

    recorded: float
    mean: float
    low: float
    high: float
    over: Over

    @property
    def optimism(self) -> float:
        """How much better the trial looked where it was chosen than when it was run again."""
        return self.recorded - self.mean

    @property
    def is_endless(self) -> bool:
        """Whether the interval says nothing: of one patient, or of one repetition where it is over seeds."""
        return not np.isfinite([self.low, self.high]).all()


@dataclass(frozen=True)
class Repeated:
    """A trial run again: its recorded value and that of each repetition, None where it failed, ``reason`` the last why.

    ``gain`` is that over the baseline; None for the baseline itself, and where a repetition failed.
    """

    trial: int
    label: str
    recorded: float
    values: tuple[float | None, ...]
    gain: Gain | None = None
    reason: str = ""

    @property
    def mean(self) -> float | None:
        """The mean value of the repetitions; None where one failed."""
        found = [value for value in self.values if value is not None]
        return fmean(found) if len(found) == len(self.values) else None

    @property
    def spread(self) -> float | None:
        """The standard deviation between repetitions; None where there are fewer than two, or one failed."""
        found = [value for value in self.values if value is not None]
        return stdev(found) if len(found) == len(self.values) > 1 else None

    @property
    def verdict(self) -> Verdict:
        """Whether the gain over the baseline is beyond chance."""
        if self.gain is None or self.gain.is_endless:
            return "not known"
        return "survives" if self.gain.low > 0 else "within noise"


@dataclass(frozen=True)
class Again:
    """Some trials of a study and its baseline, run again under the same ``seeds``.

    ``other_folds``: each repetition cut the samples into folds of its own, the same for all trials; else the folds were
    the study's, and nothing but the seed differed.
    """

    seeds: tuple[int, ...]
    other_folds: bool
    baseline: Repeated
    trials: tuple[Repeated, ...]

    def of(self, trial: int) -> Repeated | None:
        """Return what became of a trial; None where it was not run again."""
        return next((one for one in self.trials if one.trial == trial), None)

    def covers(self, trials: Iterable[int], *, baseline: int, times: int, other_folds: bool) -> bool:
        """Say whether these trials and this baseline were run again at least so many times, on such folds."""
        as_asked = self.baseline.trial == baseline and self.other_folds == other_folds and len(self.seeds) >= times
        return as_asked and all(self.of(trial) is not None for trial in trials)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return asdict(self)

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` made a mapping of."""
        baseline, *trials = (_repeated(one) for one in (content["baseline"], *content["trials"]))
        return cls(tuple(content["seeds"]), content["other_folds"], baseline, tuple(trials))


def again_of(study: optuna.Study, key: str) -> Again | None:
    """Return what the repetitions found that a study keeps under :data:`NOISE_KEY` or :data:`RECHECK_KEY`."""
    stored = study.user_attrs.get(key)
    return None if stored is None else Again.of_dict(stored)


def keep_again(storage_url: str, study: str, key: str, found: Again) -> None:
    """Keep what repetitions found with their study, in place of what was found before."""
    with existing_storage(storage_url, writes=True) as storage:
        optuna.load_study(study_name=study, storage=storage).set_user_attr(key, found.to_dict())


def _repeated(content: Mapping[str, Any]) -> Repeated:
    gain = content["gain"]
    return Repeated(
        **{**content, "values": tuple(content["values"]), "gain": None if gain is None else Gain(**gain)},
    )
