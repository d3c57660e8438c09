"""A study as it was recorded: its configuration, and of each trial all that repeats it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import optuna
from optuna.trial import FrozenTrial

from hms_search.errors import StudyError
from hms_search.experiment import ExperimentConfig
from hms_search.models import resolve_weights
from hms_search.search.asking import WEIGHTS_KEY, trial_seed
from hms_search.search.contract import Contract
from hms_search.search.lineage import FIRST_KEY
from hms_search.search.outcomes import SAME_KEY, place_of
from hms_search.search.repeated import Again
from hms_search.search.report import TrialRow, find_report
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import CONTRACT_KEY, stored_config


@dataclass(frozen=True)
class RecordedTrial:
    """A trial: what was found, the experiment it ran, its seed, and the validated value by step.

    ``label`` names it by the study that it was run in, an earlier round perhaps.
    """

    label: str
    row: TrialRow
    config: ExperimentConfig
    seed: int
    values: Mapping[int, float]

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self.row.number


@dataclass(frozen=True)
class RecordedStudy:
    """A study: its configuration as it was created, its contract, and the trials that were started."""

    config: StudyConfig
    contract: Contract
    trials: tuple[RecordedTrial, ...]
    first_baseline: RecordedTrial | None = None
    recheck: Again | None = None

    @property
    def completed(self) -> tuple[RecordedTrial, ...]:
        """The trials that have a value and keep to the constraints, best first."""
        done = [trial for trial in self.trials if trial.row.outcome == "complete" and not trial.row.breaks]
        return tuple(sorted(done, key=lambda trial: (self._loss(trial.row.value), trial.number)))

    @property
    def honest_first(self) -> tuple[RecordedTrial, ...]:
        """The completed trials, first those that were rechecked, by what that found; then the others by their value."""
        again = {} if self.recheck is None else {one.trial: self._loss(one.mean) for one in self.recheck.trials}
        return tuple(
            sorted(self.completed, key=lambda trial: (trial.number not in again, again.get(trial.number, 0.0)))
        )

    @property
    def baseline(self) -> RecordedTrial:
        """The last trial of the space's own base; raises StudyError where it has not been started."""
        found = [trial for trial in self.trials if trial.row.baseline]
        if not found and self.first_baseline is not None:
            return self.first_baseline
        if not found:
            raise StudyError(f"study {self.config.name!r} has no baseline trial yet; run it first")
        return found[-1]

    def _loss(self, value: float | None) -> float:
        return math.inf if value is None else self.config.learned.as_loss(value)

    def trial(self, number: int) -> RecordedTrial:
        """Return a trial by its number; raises StudyError naming those there are."""
        for trial in self.trials:
            if trial.number == number:
                return trial
        there = f"it has 0 to {self.trials[-1].number}" if self.trials else "it has none yet"
        raise StudyError(f"study {self.config.name!r} has no trial {number}; {there}")


def recorded_study(storage: optuna.storages.BaseStorage, name: str) -> RecordedStudy:
    """Return the record of a study; raises StudyError where there is none of that name made by hms-search.

    Of a later round, the trials that were carried into it are those of the round they were run in, under their number
    here, and the baseline is the first round's.
    """
    report = find_report(storage, name)
    study = optuna.load_study(study_name=name, storage=storage)
    config = StudyConfig.model_validate(stored_config(study))
    settled: dict[str, str] = study.user_attrs.get(WEIGHTS_KEY, {})
    first = study.user_attrs.get(FIRST_KEY)
    earlier = {row.carried_from[0] for row in report.rows if row.carried_from} | ({first} if first else set())
    rounds = {one: recorded_study(storage, one) for one in earlier}

    def record(row: TrialRow, trial: FrozenTrial) -> RecordedTrial:
        if row.carried_from is not None:
            origin, number = row.carried_from
            return replace(rounds[origin].trial(number), row=row)
        if SAME_KEY in trial.user_attrs:
            twin = trial.user_attrs[SAME_KEY]
            return replace(record(report.rows[twin], trials[twin]), row=row, label=f"{name}-trial{trial.number}")
        return RecordedTrial(
            label=f"{name}-trial{trial.number}",
            row=row,
            config=_config(config, trial, settled),
            seed=trial_seed(config.seed, place_of(trial)),
            values=dict(trial.intermediate_values),
        )

    trials = study.get_trials(deepcopy=False)
    return RecordedStudy(
        config=config,
        contract=Contract(**study.user_attrs[CONTRACT_KEY]),
        trials=tuple(record(row, trial) for row, trial in zip(report.rows, trials, strict=True) if trial.params),
        first_baseline=rounds[first].baseline if first else None,
        recheck=report.recheck,
    )


def _config(config: StudyConfig, trial: FrozenTrial, settled: Mapping[str, str]) -> ExperimentConfig:
    """Return the experiment a trial ran, with the weights as they were settled for the whole study."""
    experiment = config.space.suggest(trial)
    return experiment.model_copy(update={"model": resolve_weights(experiment.model, settled)})
