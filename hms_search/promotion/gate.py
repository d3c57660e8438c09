"""The gate: may a model become the champion? Only where it is better than what there is, beyond chance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hms_search.compare import Difference, Verdict, oof_differences
from hms_search.data.oof import OutOfFold
from hms_search.data.oof_alignment import align
from hms_search.errors import DataError
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import HMS, TASKS, Task


@dataclass(frozen=True)
class Comparison:
    """A candidate against one reference: the difference in KL on each stratum, or in F1; or why there is none.

    ``role`` says what the reference is: baseline, champion or best member.
    """

    role: str
    reference: str
    differences: Mapping[Stratum, Difference]
    incomparable: str = ""


@dataclass(frozen=True)
class Gate:
    """The comparisons of a candidate, and what follows from them.

    ``objective`` is the stratum that decides; ``forced`` says that a person let the candidate through.
    """

    candidate: str
    objective: Stratum
    comparisons: tuple[Comparison, ...]
    forced: bool = False
    task: Task = HMS

    @property
    def passed(self) -> bool:
        """Whether the candidate is better, beyond chance, than every reference; never without a reference."""
        return bool(self.comparisons) and all(self.verdict(one) == "better" for one in self.comparisons)

    @property
    def opens(self) -> bool:
        """Whether the candidate becomes the champion."""
        return self.passed or self.forced

    def verdict(self, comparison: Comparison) -> Verdict | str:
        """Return what may be said of a comparison on the stratum that decides."""
        found = comparison.differences.get(self.objective)
        return comparison.incomparable or "no recordings to compare" if found is None else found.verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the gate as plain JSON types."""
        return {
            "candidate": self.candidate,
            "objective": self.objective,
            "passed": self.passed,
            "forced": self.forced,
            "comparisons": [
                {
                    "role": one.role,
                    "reference": one.reference,
                    "verdict": self.verdict(one),
                    "differences": {name: _plain(value) for name, value in one.differences.items()},
                }
                for one in self.comparisons
            ],
        }

    def metrics(self) -> dict[str, float]:
        """Return the differences as metrics: mean, ends of the interval and probability, by role and stratum."""
        return {
            f"gate/{comparison.role}/{stratum}/{name}": getattr(difference, name)
            for comparison in self.comparisons
            for stratum, difference in comparison.differences.items()
            for name in ("mean", "low", "high", "probability_better")
            if np.isfinite(getattr(difference, name))
        }


def judge(
    candidate: OutOfFold,
    references: Mapping[str, OutOfFold],
    *,
    objective: Stratum,
    force: bool = False,
    doubt: str = "",
    seed: int = 0,
) -> Gate:
    """Return the gate of a candidate against references by role, in pairs on the same recordings and folds.

    ``doubt`` says why the candidate's scores flatter it, if they do: then it is compared with nothing.
    """
    comparisons = tuple(
        Comparison(role, reference.name, {}, f"cannot be compared: {doubt}")
        if doubt
        else _compare(candidate, role, reference, seed)
        for role, reference in references.items()
    )
    gate = Gate(candidate.name, objective, comparisons, task=TASKS[candidate.task])
    return replace(gate, forced=force and not gate.passed)


def _compare(candidate: OutOfFold, role: str, reference: OutOfFold, seed: int) -> Comparison:
    try:
        mine, theirs = align((candidate, reference))
    except DataError as error:
        return Comparison(role, reference.name, {}, f"cannot be compared: {error}")
    return Comparison(role, reference.name, oof_differences(mine, theirs, seed=seed))


def _plain(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON types; an end that nothing bounds is null, since JSON has no infinity."""
    endless = {name: None for name in ("low", "high") if not np.isfinite(getattr(difference, name))}
    return {**asdict(difference), **endless, "verdict": difference.verdict}
