"""Who trains next, how far, and who is stopped: what the coordinator asks of pruners and schedulers alike.

A trial's steps are the epochs of its folds, counted from 0 in the order they run (:mod:`hms_search.training.steps`). At
the same step all trials have trained the same folds for as long, so their values compare.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.contenders import Contenders
from hms_search.search.halving import PausingHalving, Resume, Scheduler, Start
from hms_search.search.outcomes import carried_from, has_paused, is_baseline, place_of
from hms_search.search.pruners import FoldJudge, Pruner, Racing, Sparing
from hms_search.search.racing import Losses, Race
from hms_search.search.report import SPARED_KEY
from hms_search.search.trial import Ending
from hms_search.training.steps import Steps

Judgement = Literal["continue", "pause", "prune"]
_ENDINGS: Mapping[TrialState, Ending] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Policy(Protocol):
    """Says what a free worker does next, and after each epoch whether its trial goes on."""

    def next(
        self, running: Collection[int], *, may_start: bool, may_promote: bool = True, away: Collection[int] = ()
    ) -> Start | Resume | None:
        """Return what a free worker does while others train the trials ``running``; None: nothing now.

        The paused trials that are ``away`` can only be gone on with by another session. Without ``may_start`` and
        ``may_promote`` only what the policy's floor owes is left.
        """

    def begin(
        self, number: int, until: int, *, exempt: bool = False, place: int | None = None, beyond: int = 0
    ) -> None:
        """Take in that a trial now trains until step ``until``; an exempt one, the baseline, is never stopped.

        ``place`` is what its lot follows from, if that is not its number (:func:`hms_search.search.outcomes.place_of`);
        those that it repeats were going further than step ``beyond`` when they were interrupted.
        """

    def epoch_ended(self, number: int, step: int, value: float, losses: Losses | None = None) -> Judgement:
        """Take in one epoch of a trial, with its losses if they are known; return whether it goes on."""

    def trial_ended(self, number: int, outcome: Ending) -> None:
        """Take in that a trial will not go on."""

    def spared_at(self, number: int) -> int | None:
        """Return the step at which a trial would have been stopped, but for the floor or the audit."""

    def replay(self, trial: FrozenTrial, since: int = 0) -> None:
        """Take in the stored curve of a trial, without the first steps that it knows, and its end if it has one."""


def policy_of(
    pruner: Pruner,
    *,
    steps: Steps,
    study_name: str,
    direction: Literal["minimize", "maximize"],
    seed: int,
    race: Race,
    keep: float | None = None,
) -> Policy:
    """Return the policy that a study's ``pruner`` stands for.

    With ``keep``, of an adaptive schedule, only contenders go on from fold to fold.
    """
    if isinstance(pruner, PausingHalving):
        return Pausing(Scheduler(pruner, len(steps), direction), steps)
    judges: list[Judge] = [
        RaceJudge(pruner, race, len(steps))
        if isinstance(pruner, Racing)
        else FoldJudge(pruner, steps=steps, study_name=study_name, direction=direction)
    ]
    if keep is not None:
        judges.append(Contenders(steps, keep, direction))
    return Pruning(pruner, judges, total=len(steps), seed=seed)


class Judge(Protocol):
    """Says after each epoch whether a trial should be stopped."""

    def epoch_ended(self, number: int, step: int, value: float, losses: Losses | None = None) -> bool:
        """Take in one epoch of a trial; return whether it should be stopped."""

    def record(self, number: int, step: int, value: float) -> None:
        """Take in one epoch that was judged before or by another session."""

    def trial_ended(self, number: int, outcome: Ending) -> None:
        """Take in that a trial will not go on."""


class RaceJudge:
    """Stops trials that lose a race; see :mod:`hms_search.search.racing`."""

    def __init__(self, config: Racing, race: Race, total: int) -> None:
        self._config, self._race, self._total = config, race, total
        self._values: dict[int, dict[int, float]] = {}

    def epoch_ended(self, number: int, step: int, value: float, losses: Losses | None = None) -> bool:
        """Take in one epoch; return whether the trial is behind beyond its share of alpha."""
        self.record(number, step, value)
        p_value = self._race.p_value(number, step, losses)
        enough = self._race.n_finished >= self._config.n_startup_trials
        return enough and p_value < self._config.alpha_at(step, self._total)

    def record(self, number: int, step: int, value: float) -> None:
        """Take in one epoch whose losses are not known here."""
        self._values.setdefault(number, {})[step] = value

    def trial_ended(self, number: int, outcome: Ending) -> None:
        """Let a trial that was finished into the race, and forget another."""
        values = self._values.pop(number, {})
        if outcome == "complete" and len(values) == self._total:
            self._race.finished(number, values)
        else:
            self._race.ended(number)


class Pruning:
    """Every trial is started once, and a judge may stop it: a stock pruner (:class:`FoldJudge`), a race, contenders.

    Some that they would stop are spared, see :class:`hms_search.search.pruners.Sparing`.
    """

    def __init__(self, pruner: Sparing, judges: Sequence[Judge], *, total: int, seed: int) -> None:
        self._pruner, self._judges, self._total, self._seed = pruner, judges, total, seed
        self._exempt: set[int] = set()
        self._spared: dict[int, int] = {}
        self._places: dict[int, int] = {}
        self._paused: set[int] = set()
        """The trials that paused under another pruner and have not ended."""
        self._ends: Counter[Ending] = Counter()
        self._due: dict[int, Ending] = {}
        """How the trials will end that were told to stop, or were spared, and have not ended."""

    def next(
        self, running: Collection[int], *, may_start: bool, may_promote: bool = True, away: Collection[int] = ()
    ) -> Start | Resume | None:
        """Return the start of a new trial, whoever runs; first those go on that paused under another pruner."""
        waiting = self._paused.difference(running, away)
        if waiting and may_promote:
            return Resume(min(waiting), self._total)
        return Start(self._total) if may_start else None

    def begin(
        self,
        number: int,
        until: int,  # noqa: ARG002
        *,
        exempt: bool = False,
        place: int | None = None,
        beyond: int = 0,  # noqa: ARG002
    ) -> None:
        """Keep who is exempt, and whose lot a trial has: all are to reach the end."""
        if exempt:
            self._exempt.add(number)
        if place is not None:
            self._places[number] = place

    def epoch_ended(self, number: int, step: int, value: float, losses: Losses | None = None) -> Judgement:
        """Take in one epoch; return whether a judge stops the trial."""
        is_judged = self._is_judged(number, step, value, losses)
        is_over = step + 1 == self._total  # nothing is left to stop
        if not is_judged or is_over or number in self._spared or number in self._exempt:
            return "continue"
        if not self._spares(number):
            self._due[number] = "pruned"
            return "prune"
        self._spared[number], self._due[number] = step + 1, "complete"
        return "continue"

    def trial_ended(self, number: int, outcome: Ending) -> None:
        """Close the trial's curve."""
        for judge in self._judges:
            judge.trial_ended(number, outcome)
        self._paused.discard(number)
        self._due.pop(number, None)
        if number not in self._exempt:
            self._ends[outcome] += 1
        if outcome != "complete":
            self._spared.pop(number, None)

    def spared_at(self, number: int) -> int | None:
        """Return the step at which a trial was spared."""
        return self._spared.get(number)

    def replay(self, trial: FrozenTrial, since: int = 0) -> None:
        """Take in the curve of a trial, and that it was spared or paused if it was."""
        for step, value in sorted(trial.intermediate_values.items())[since:]:
            for judge in self._judges:
                judge.record(trial.number, step, value)
        if is_baseline(trial) or carried_from(trial) is not None:  # the floor is one of this study's own trials
            self._exempt.add(trial.number)
        if SPARED_KEY in trial.user_attrs:
            self._spared[trial.number] = trial.user_attrs[SPARED_KEY]
        if has_paused(trial):
            self._paused.add(trial.number)
        if trial.state in _ENDINGS:
            self.trial_ended(trial.number, _ENDINGS[trial.state])

    def _is_judged(self, number: int, step: int, value: float, losses: Losses | None = None) -> bool:
        """Let every judge take in an epoch; return whether one of them would stop the trial."""
        words = [judge.epoch_ended(number, step, value, losses) for judge in self._judges]
        return any(words)

    def _spares(self, number: int) -> bool:
        """Say whether a trial that would be stopped goes on: by lot, or because too few will have reached the end."""
        if np.random.default_rng([self._seed, self._places.get(number, number)]).random() < self._pruner.audit:
            return True
        ends = self._ends + Counter(self._due.values())
        done, stopped = ends["complete"], ends["pruned"]
        return done < int(self._pruner.floor * (done + stopped + 1))


class Pausing:
    """Trials pause at rungs and the best go on; see :class:`Scheduler`.

    A trial's merit at a step is the mean over its folds so far, of the latest value of each.
    """

    def __init__(self, scheduler: Scheduler, steps: Steps) -> None:
        self._scheduler, self._steps, self._total = scheduler, steps, len(steps)
        self._until: dict[int, int] = {}
        self._values: dict[int, dict[int, float]] = {}
        self._untold: set[int] = set()
        """The trials of which the last step is known, and not that they ended."""
        self._early: set[int] = set()
        """The trials that paused before the first rung, under other rules."""

    def next(
        self, running: Collection[int], *, may_start: bool, may_promote: bool = True, away: Collection[int] = ()
    ) -> Start | Resume | None:
        """Return the scheduler's word; first come the trials that it does not rank.

        Those whose session died after their last step, and those that have yet to come to the first rung.
        """
        for number in sorted(self._untold.difference(running, away)):
            return Resume(number, self._total)
        for number in sorted(self._early.difference(running, away)) if may_promote else ():
            return Resume(number, self._scheduler.rungs[0])
        return self._scheduler.next(running, may_start=may_start, may_promote=may_promote, away=away)

    def begin(
        self, number: int, until: int, *, exempt: bool = False, place: int | None = None, beyond: int = 0
    ) -> None:
        """Keep how far the trial goes this time: at least to where those that it repeats were going."""
        if exempt:
            self._scheduler.exempt(number)
        self._scheduler.place(number, number if place is None else place)
        goes_on = exempt or self._scheduler.is_straight(number)
        was_going = next((rung for rung in self._scheduler.rungs if rung > beyond), self._total)
        self._until[number] = self._total if goes_on else max(until, was_going)

    def epoch_ended(self, number: int, step: int, value: float, losses: Losses | None = None) -> Judgement:  # noqa: ARG002
        """Take in one epoch; return whether the trial has come as far as it was to."""
        values = self._values.setdefault(number, {})
        values[step] = value
        self._scheduler.reached(number, step + 1, self._steps.mean(values, step))
        if step + 1 == self._scheduler.rungs[0]:
            self._early.discard(number)
        if step + 1 == self._total:
            self._untold.add(number)
        return "pause" if step + 1 == self._until.get(number, self._total) < self._total else "continue"

    def trial_ended(self, number: int, outcome: Ending) -> None:
        """Take in that a trial will not go on."""
        self._untold.discard(number)
        self._early.discard(number)
        if outcome == "failed":
            self._scheduler.failed(number)
        elif outcome == "interrupted":
            self._scheduler.forget(number)
        else:
            self._scheduler.ended(number)

    def spared_at(self, number: int) -> int | None:
        """Return the step at which a straight trial would have stayed."""
        return next((audit.step for audit in self._scheduler.audits if audit.number == number), None)

    def replay(self, trial: FrozenTrial, since: int = 0) -> None:
        """Take in the curve of a trial, unless it is of another study: those that fell behind there are not here."""
        if carried_from(trial) is not None:
            return
        if is_baseline(trial):
            self._scheduler.exempt(trial.number)
        self._scheduler.place(trial.number, place_of(trial))
        for step, value in sorted(trial.intermediate_values.items())[since:]:
            self.epoch_ended(trial.number, step, value)
        if has_paused(trial) and len(trial.intermediate_values) < self._scheduler.rungs[0]:
            self._early.add(trial.number)
        if trial.state in _ENDINGS:
            self.trial_ended(trial.number, _ENDINGS[trial.state])
