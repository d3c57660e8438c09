"""Racing: a trial is stopped once it is worse than the best one beyond chance, in pairs on the same recordings.

At the same epoch of the same folds, the losses of both on each validation recording are subtracted: what makes a fold
or a recording hard is hard for both and cancels. Recordings of one patient resemble each other, so the standard error
is that of patients (cluster-robust, Liang and Zeger 1986). Folds of two values, which Optuna's Wilcoxon pruner would
compare, can never reach significance; patients can.

Curves cross: a trial that is behind after three epochs may be ahead at the end. By how much is seen on the trials that
were finished, the spared ones among them: the mean square of what they caught up on the best from here to the end is
added to the variance, so that nothing is stopped where early epochs say little. Before any were seen, a third of what
the best itself still gained stands for it, with the weight of two trials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeGuard

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from hms_search.data.arrays import read_arrays
from hms_search.data.atomic import replacing
from hms_search.training.steps import Steps

Losses = Float[np.ndarray, " rows"]
_EXPECTED_SHARE, _EXPECTED_WEIGHT = 1 / 3, 2
"""What a trial is expected to catch up, of the best one's own gain, and the trials that this is worth. Of 1/5, 1/3 and
1/2, with the weight of two and of four, all came out alike on two seeds of benchmarks/racing.py that are not among its
ten."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Whom a race is over: of each fold in use, the patient of each validation row, and which rows count."""

    patients: tuple[Int[np.ndarray, " rows"], ...]
    counted: tuple[Bool[np.ndarray, " rows"], ...]


@dataclass(frozen=True, eq=False)
class Racer:
    """A trial as others are compared with it: its value, and its losses by step."""

    number: int
    value: float
    losses: Mapping[int, Losses]

    def save(self, file: Path) -> None:
        """Keep it for a later session."""
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"step{step}": losses for step, losses in self.losses.items()}
        with replacing(file) as partial, partial.open("wb") as content:
            np.savez(content, **{"number": self.number, "value": self.value, **arrays})

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """Return the one that was kept; None where none was, or it cannot be read: the next best takes its place."""
        content = read_arrays(file, "number", "value")
        if not content:
            return None
        losses = {int(name.removeprefix("step")): content[name] for name in content if name.startswith("step")}
        return cls(int(content["number"]), float(content["value"]), losses)


@dataclass(frozen=True)
class CatchUp:
    """What a trial may catch up on the best one until the end: its mean square, and the degrees of freedom of that."""

    mean_square: float
    freedom: float


@dataclass(frozen=True)
class Lag:
    """How far a trial is behind: the mean over folds of the difference in loss, its variance, degrees of freedom."""

    mean: float
    variance: float
    freedom: float

    def p_value(self, catch_up: CatchUp) -> float:
        """Return the chance of such a lag in a trial that ends as good."""
        total = self.variance + catch_up.mean_square
        if not total or self.mean <= 0:
            return float(self.mean <= 0)
        parts = self.variance**2 / self.freedom + catch_up.mean_square**2 / catch_up.freedom
        freedom = total**2 / parts  # Welch and Satterthwaite
        return float(stats.t.sf(self.mean / np.sqrt(total), freedom))


def lag_at(
    step: int, steps: Steps, ground: Ground, *, mine: Mapping[int, Losses], theirs: Mapping[int, Losses]
) -> Lag | None:
    """Return how far one trial is behind another at a step, by the latest epoch of each fold that has begun.

    None where one of them lacks losses there, or a fold has a single patient.
    """
    latest = steps.latest(step)
    if any(one not in mine or one not in theirs for one in latest):
        return None
    rows = [ground.counted[place] for place in range(len(latest))]
    patients = [ground.patients[place][counted] for place, counted in enumerate(rows)]
    differences = [(mine[one] - theirs[one])[counted] for one, counted in zip(latest, rows, strict=True)]
    if any(len(np.unique(of_fold)) < 2 for of_fold in patients):
        return None
    means = [float(of_fold.mean()) for of_fold in differences]
    errors = [_errors(*of_fold) for of_fold in zip(differences, patients, strict=True)]
    _, place, n_rows = np.unique(np.concatenate(patients), return_inverse=True, return_counts=True)
    of_patients = np.bincount(place, weights=np.concatenate(errors))  # one in several folds errs alike in all
    freedom = n_rows.sum() ** 2 / float(np.square(n_rows).sum()) - len(latest)  # unequal patients count as fewer equal
    if freedom <= 0:
        return None
    return Lag(float(np.mean(means)), float(np.square(of_patients).sum()) / len(latest) ** 2, freedom)


def catch_up_at(step: int, best: Mapping[int, float], others: Sequence[Mapping[int, float]], steps: Steps) -> CatchUp:
    """Return what trials catch up on the best one from a step to the end.

    ``best`` and ``others`` are the values of whole trials by step. One that falls further behind catches up nothing.
    """
    end = len(steps) - 1
    gain = steps.mean(best, step) - steps.mean(best, end)
    caught_up = [max(0.0, steps.mean(one, step) - steps.mean(one, end) - gain) for one in others]
    begun = {steps.place(one).position: best[one] for one in steps.latest(step)}  # other folds may be harder
    still_to_gain = float(np.mean([value - best[steps.at(fold, steps.epochs - 1)] for fold, value in begun.items()]))
    expected = _EXPECTED_SHARE * max(0.0, still_to_gain)
    weight = _EXPECTED_WEIGHT + len(others)
    return CatchUp((_EXPECTED_WEIGHT * expected**2 + sum(one**2 for one in caught_up)) / weight, weight)


def _errors(differences: Float[np.ndarray, " rows"], patients: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Return what each row adds to the error of a fold's mean; those of a patient are to be summed, then squared."""
    n_patients = len(np.unique(patients))
    scale = math.sqrt(n_patients / (n_patients - 1)) / len(differences)
    errors: Float[np.ndarray, " rows"] = (differences - differences.mean()) * scale
    return errors


@dataclass
class Race:
    """The trials of a race so far: the best with its losses, the values of those that were finished.

    ``file`` keeps the best for a later session.
    """

    steps: Steps
    ground: Ground
    file: Path
    _best: Racer | None = None
    _running: dict[int, dict[int, Losses]] = field(default_factory=dict)
    _finished: dict[int, Mapping[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take up the best of an earlier session."""
        self._best = Racer.load(self.file)

    @property
    def n_finished(self) -> int:
        """How many trials were finished."""
        return len(self._finished)

    @property
    def best(self) -> Racer | None:
        """The best trial that was finished with all its losses known; None where there is none of this study."""
        return self._best if self._is_known(self._best) else None

    def p_value(self, number: int, step: int, losses: Losses | None) -> float:
        """Take in a trial's losses at a step; return the chance of its lag if it ended as good as the best: 1 if none.

        None for losses: they were not kept where the trial was taken up.
        """
        if losses is None:
            return 1.0
        mine = self._running.setdefault(number, {})
        mine[step] = losses
        best = self.best
        if best is None:
            return 1.0
        lag = lag_at(step, self.steps, self.ground, mine=mine, theirs=best.losses)
        if lag is None:
            return 1.0
        others = [values for one, values in self._finished.items() if one != best.number]
        return lag.p_value(catch_up_at(step, self._finished[best.number], others, self.steps))

    def finished(self, number: int, values: Mapping[int, float]) -> None:
        """Take in the values by step of a trial that was finished."""
        self._finished[number] = dict(values)
        value = self.steps.mean(values, len(self.steps) - 1)
        losses = self._running.pop(number, {})
        if len(losses) < len(self.steps):  # it was taken up on its way: against what is not known nobody can race
            return
        another = Racer.load(self.file)
        best = min(filter(self._is_known, (self._best, another)), key=lambda racer: racer.value, default=None)
        if best is None or value < best.value:
            best = Racer(number, value, losses)
            best.save(self.file)
        self._best = best

    def ended(self, number: int) -> None:
        """Forget a trial that was not finished."""
        self._running.pop(number, None)

    def _is_known(self, racer: Racer | None) -> TypeGuard[Racer]:
        """Say whether a kept trial is one of this study, not of an earlier one of its name, and whole."""
        values = self._finished.get(racer.number) if racer is not None else None
        if racer is None or values is None or len(racer.losses) < len(self.steps):
            return False
        return math.isclose(racer.value, self.steps.mean(values, len(self.steps) - 1), rel_tol=1e-9)
