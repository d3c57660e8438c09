"""A study's trials as they were last read, and what of them the coordinator asks again and again.

A trial is looked at until it has ended and once more then, so that a turn costs the same in a study of any size.
"""

from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.draws import Places
from hms_search.search.outcomes import CARRIED_KEY, OUTCOME_KEY, PAUSED_KEY, has_paused, origin_of, place_of
from hms_search.search.peers import SESSION_KEY
from hms_search.search.twins import Twins


class Overview:
    """The trials of a study; ``counted`` of those that ended count towards its total, ``failed`` of these failed."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self.trials: list[FrozenTrial] = []
        self.open: list[FrozenTrial] = []
        """Those of them that are queued, running or paused."""
        self.counted = self.failed = 0
        self._failed_before: int | None = None
        self._begun: dict[int, int] = {}
        """The trials started since they were read, each with the number of the one that it repeats, if not itself."""
        self._places = Places()
        self._twins = Twins(study)

    def read(self) -> list[FrozenTrial]:
        """Read the trials anew; return those that are new or had not ended when they were last read."""
        n_known = len(self.trials)
        self.trials = self._study.get_trials(deepcopy=False)  # by their numbers, of which none is left out
        self._begun.clear()
        news = [*(self.trials[trial.number] for trial in self.open), *self.trials[n_known:]]
        self.open = [trial for trial in news if not trial.state.is_finished()]
        for trial in news:
            if trial.state.is_finished():
                self._take_in(trial)
        if self._failed_before is None:
            self._failed_before = self.failed
        return news

    def begun(self, trial: optuna.Trial) -> None:
        """Take in that a trial was started since they were read."""
        self._begun[trial.number] = origin_of(trial)

    def before(self, number: int) -> Sequence[FrozenTrial]:
        """Return the trials as last read; anew where one before ``number`` is not among them, nor begun here first."""
        if all(self._begun.get(one) == one for one in range(len(self.trials), number)):
            return self.trials
        return self._study.get_trials(deepcopy=False)

    def place(self, trial: optuna.Trial) -> int:
        """Return the place of a trial that is begun or gone on with: what is left to chance of it follows from that.

        One that repeats another has the place that that one was given.
        """
        origin, trials = origin_of(trial), self.before(trial.number)
        if origin < len(trials) and SESSION_KEY in trials[origin].system_attrs:
            return place_of(trials[origin])
        return self._places.of(origin, trials)

    def remaining(self, total: int) -> int:
        """Return how many more trials may be started."""
        running = {trial.number for trial in self.open if trial.state == TrialState.RUNNING} | self._begun.keys()
        return max(0, total - self.counted - len(running))

    @property
    def queued(self) -> bool:
        """Whether a trial waits to be started."""
        return bool(self._queue)

    @property
    def to_repeat(self) -> FrozenTrial | None:
        """The first trial in the queue that was interrupted before: some of its epochs are paid for."""
        return next((trial for trial in self._queue if origin_of(trial) != trial.number), None)

    def was_beyond(self, origin: int) -> int:
        """Return the step beyond which an interrupted trial was going, itself or as one that repeats it.

        One that had not paused before may have been about to pause at the very step that it had come to.
        """
        attempts = [trial for trial in self.trials if origin_of(trial) == origin]
        reached = max(len(trial.intermediate_values) for trial in attempts)
        return reached if any(PAUSED_KEY in trial.user_attrs for trial in attempts) else max(0, reached - 1)

    @property
    def _queue(self) -> list[FrozenTrial]:
        return [trial for trial in self.open if trial.state == TrialState.WAITING and trial.number not in self._begun]

    def why_hopeless(self, enough: int) -> str | None:
        """Return why the last trial failed, where all did and none has paused, ``enough`` since they were first read.

        What failed before may have been mended since.
        """
        n_now = self.failed - (self._failed_before or 0)
        if n_now < enough or self.failed < self.counted or any(has_paused(trial) for trial in self.open):
            return None
        failed = (trial for trial in reversed(self.trials) if trial.state == TrialState.FAIL and counts(trial))
        return str(next(failed).user_attrs.get("reason", "unknown"))

    def twin(self, params: Mapping[str, object]) -> FrozenTrial | None:
        """Return the first trial that ran the experiment of these parameters to its end or until it was stopped."""
        return self._twins.of(params)

    def _take_in(self, trial: FrozenTrial) -> None:
        self._twins.add(trial)
        if counts(trial):
            self.counted += 1
            self.failed += trial.state == TrialState.FAIL


def counts(trial: FrozenTrial) -> bool:
    """Say whether a trial counts towards the study's total: it was run in this study, and not interrupted."""
    if CARRIED_KEY in trial.user_attrs:
        return False
    if trial.state == TrialState.FAIL:
        return trial.user_attrs.get(OUTCOME_KEY) != "interrupted"
    return trial.state != TrialState.WAITING
