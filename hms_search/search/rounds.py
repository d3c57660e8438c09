"""Rounds: a search in several studies, each in the space that the trials before it leave.

    round 1 --trials--> narrow --> round 2, seeded with the trials that still fit --trials--> narrow --> ...

All here is a pure function of what was recorded: a session that takes up a killed one comes to the same spaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial
from pydantic import Field

from hms_search.component import Component
from hms_search.search.carrying import carried
from hms_search.search.lineage import Change
from hms_search.search.narrowing import Narrow, narrow
from hms_search.search.outcomes import CARRIED_KEY, Direction
from hms_search.search.space import SearchSpace


class Rounds(Component):
    """How many rounds of how many trials, and how the space is narrowed between them."""

    count: int = Field(3, ge=1)
    trials: int = Field(20, ge=1)
    narrow: Narrow = Narrow()


@dataclass(frozen=True)
class PlayedRound:
    """A round as it was recorded: the name of its Optuna study, its space, and all trials in it."""

    study: str
    space: SearchSpace
    trials: tuple[FrozenTrial, ...]

    @property
    def own(self) -> tuple[FrozenTrial, ...]:
        """The trials that were run in this round, without those carried into it."""
        return tuple(trial for trial in self.trials if CARRIED_KEY not in trial.user_attrs)


@dataclass(frozen=True)
class Round:
    """A round to run: its number from 1 on, its study's name, its space, why bounds moved, and what it starts with."""

    number: int
    study: str
    space: SearchSpace
    changes: tuple[Change, ...]
    carried: tuple[FrozenTrial, ...]

    def missing(self, present: Sequence[FrozenTrial]) -> tuple[FrozenTrial, ...]:
        """Return the carried trials that a study lacks: all of a new one, the rest where a session died adding them."""
        there = {trial.user_attrs.get(CARRIED_KEY) for trial in present}
        return tuple(trial for trial in self.carried if trial.user_attrs[CARRIED_KEY] not in there)


def round_name(study: str, number: int) -> str:
    """Return the name of a round's Optuna study; the first is the study's own, so rounds can be added to it later."""
    return study if number == 1 else f"{study}.round{number}"


def next_round(
    history: Sequence[PlayedRound], narrowing: Narrow, *, direction: Direction = "minimize", seed: int = 0
) -> Round:
    """Return the round after those played, the first of them first.

    The last round's space is narrowed by its own trials and all earlier ones that lie in it.

    Parameters
    ----------
    history
        Every round so far; at least one.
    seed
        The study's seed.
    """
    number, last = len(history) + 1, history[-1]
    earlier = history[:-1]
    evidence = (*carried_into(earlier, last.space), *(last.own if earlier else last.trials))
    narrowed = narrow(last.space, evidence, narrowing, direction=direction, seed=seed)
    return Round(
        number,
        round_name(history[0].study, number),
        narrowed.space,
        narrowed.changes,
        carried_into(history, narrowed.space),
    )


def carried_into(history: Sequence[PlayedRound], space: SearchSpace) -> tuple[FrozenTrial, ...]:
    """Return the trials of all rounds so far that lie in a space, as trials of it.

    Of the first round also those that it took over from another study; of the later ones those that were run in them.
    """
    added = [(played.study, played.own if later else played.trials) for later, played in enumerate(history)]
    return tuple(trial for study, trials in added for trial in carried(trials, space, study=study))
