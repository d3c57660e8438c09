"""A study as it stands in its storage: its configuration and all its trials, for whatever reads them."""

from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from hms_search.search.report import find_report
from hms_search.search.study import StudyConfig, stored_config


@dataclass(frozen=True)
class StudyHistory:
    """A study's configuration and its trials, in the order they were asked.

    ``shared_patients``: how many patients are on both sides of a fold, None where that was not looked at.
    """

    config: StudyConfig
    trials: tuple[FrozenTrial, ...]
    shared_patients: int | None = None


def study_history(storage: optuna.storages.BaseStorage, name: str) -> StudyHistory:
    """Return a study's history; raises StudyError where there is none of that name made by hms-search."""
    find_report(storage, name)  # says which studies there are
    study = optuna.load_study(study_name=name, storage=storage)
    config = StudyConfig.model_validate(stored_config(study))
    return StudyHistory(config, tuple(study.get_trials(deepcopy=False)))
