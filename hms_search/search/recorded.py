"""A study as it was recorded: its configuration, and of each trial all that repeats it."""

from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from hms_search.errors import StudyError
from hms_search.experiment import ExperimentConfig
from hms_search.models import resolve_weights
from hms_search.search.asking import WEIGHTS_KEY, origin_of, trial_seed
from hms_search.search.report import TrialRow, find_report
from hms_search.search.study import CONTRACT_KEY, Contract, StudyConfig, stored_config


@dataclass(frozen=True)
class RecordedTrial:
    """A trial: what was found, the experiment it ran, its seed, and the validated value by step."""

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

    @property
    def baseline(self) -> RecordedTrial:
        """The last trial of the space's own base; raises StudyError where it has not been started."""
        found = [trial for trial in self.trials if trial.row.baseline]
        if not found:
            raise StudyError(f"study {self.config.name!r} has no baseline trial yet; run it first")
        return found[-1]

    def trial(self, number: int) -> RecordedTrial:
        """Return a trial by its number; raises StudyError naming those there are."""
        for trial in self.trials:
            if trial.number == number:
                return trial
        there = f"it has 0 to {self.trials[-1].number}" if self.trials else "it has none yet"
        raise StudyError(f"study {self.config.name!r} has no trial {number}; {there}")


def recorded_study(storage: optuna.storages.BaseStorage, name: str) -> RecordedStudy:
    """Return the record of a study; raises StudyError where there is none of that name made by hms-search."""
    report = find_report(storage, name)
    study = optuna.load_study(study_name=name, storage=storage)
    config = StudyConfig.model_validate(stored_config(study))
    settled: dict[str, str] = study.user_attrs.get(WEIGHTS_KEY, {})
    trials = study.get_trials(deepcopy=False)
    return RecordedStudy(
        config=config,
        contract=Contract(**study.user_attrs[CONTRACT_KEY]),
        trials=tuple(
            RecordedTrial(
                row=row,
                config=_config(config, trial, settled),
                seed=trial_seed(config.seed, origin_of(trial)),
                values=dict(trial.intermediate_values),
            )
            for row, trial in zip(report.rows, trials, strict=True)
            if trial.params
        ),
    )


def _config(config: StudyConfig, trial: FrozenTrial, settled: Mapping[str, str]) -> ExperimentConfig:
    """Return the experiment a trial ran, with the weights as they were settled for the whole study."""
    experiment = config.space.suggest(trial)
    return experiment.model_copy(update={"model": resolve_weights(experiment.model, settled)})
