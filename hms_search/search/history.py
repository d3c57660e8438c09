"""A study as it stands in its storage: its configuration and all its trials, for whatever reads them."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.carrying import fits
from hms_search.search.evidence import Evidence, evidence_of
from hms_search.search.outcomes import (
    CARRIED_KEY,
    PAUSED_AT_KEY,
    PAUSED_KEY,
    SAME_KEY,
    Direction,
    epochs_trained,
    has_paused,
    is_evidence,
)
from hms_search.search.repeated import Again
from hms_search.search.report import find_report
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import stored_config


@dataclass(frozen=True)
class StudyHistory:
    """A study's configuration and its trials, in the order they were asked.

    ``shared_patients``: how many patients are on both sides of a fold, None where that was not looked at. ``noise``:
    what its best trial was worth under other seeds, if it was run again. ``abandoned``: it is known that no session
    runs the study.
    """

    config: StudyConfig
    trials: tuple[FrozenTrial, ...]
    shared_patients: int | None = None
    noise: Again | None = None
    abandoned: bool = False

    @property
    def direction(self) -> Direction:
        """Which way values are better."""
        return self.config.learned.direction

    @cached_property
    def ended(self) -> tuple[FrozenTrial, ...]:
        """The trials of this study that completed, were pruned or failed by themselves; none carried from another."""
        return tuple(trial for trial in self.trials if is_evidence(trial) and CARRIED_KEY not in trial.user_attrs)

    @cached_property
    def trained(self) -> tuple[FrozenTrial, ...]:
        """Those of them that were trained, not answered from the record."""
        return tuple(trial for trial in self.ended if SAME_KEY not in trial.user_attrs)

    @cached_property
    def paused(self) -> tuple[FrozenTrial, ...]:
        """The trials of this study that came to a rung and have not ended."""
        return tuple(trial for trial in self.trials if has_paused(trial))

    @cached_property
    def spent(self) -> tuple[int, float]:
        """How many epochs the trials of this study were trained, and their hours."""
        epochs = epochs_trained(self.trials)
        own = [trial.user_attrs for trial in self.trials if trial.number in epochs]
        seconds = sum(kept.get("seconds", kept.get(PAUSED_KEY, 0.0)) for kept in own)
        return sum(epochs.values()), seconds / 3600

    @cached_property
    def as_last_trained(self) -> tuple[FrozenTrial, ...]:
        """The trials of this study in the order of their last training, those that paused among them.

        One that paused may end long after those asked later; those that still wait when the study is over end then.
        """
        return tuple(sorted((*self.ended, *self.paused), key=lambda trial: (_last_trained(trial), trial.number)))

    @cached_property
    def proposed(self) -> tuple[FrozenTrial, ...]:
        """The trials that ended and are not the baseline."""
        return tuple(trial for trial in self.ended if not trial.user_attrs.get("baseline"))

    @cached_property
    def evidence(self) -> Evidence:
        """What all trials in the study's space say, those carried from another among them."""
        return evidence_of([trial for trial in self.trials if fits(trial.params, self.config.space)], self.direction)


def _last_trained(trial: FrozenTrial) -> datetime:
    """Return when that was, in local time without a zone, as Optuna tells times."""
    kept, has_waited = trial.user_attrs, trial.state in (TrialState.RUNNING, TrialState.PRUNED)
    if has_waited and PAUSED_AT_KEY in kept and kept.get("seconds", 0.0) <= kept[PAUSED_KEY]:  # not trained since
        return datetime.fromisoformat(kept[PAUSED_AT_KEY]).astimezone().replace(tzinfo=None)
    return trial.datetime_complete or datetime.max


def study_history(storage: optuna.storages.BaseStorage, name: str) -> StudyHistory:
    """Return a study's history; raises StudyError where there is none of that name made by hms-search."""
    report = find_report(storage, name)
    study = optuna.load_study(study_name=name, storage=storage)
    config = StudyConfig.model_validate(stored_config(study))
    return StudyHistory(config, tuple(study.get_trials(deepcopy=False)), noise=report.noise)
