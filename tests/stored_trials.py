"""The trials and runs of a study that other processes run, as its stores have them now."""

from contextlib import ExitStack

import mlflow
import optuna
from optuna.trial import FrozenTrial

from hms_search.errors import StudyError
from hms_search.search.storage import existing_storage


def stored_trials(url: str, study: str) -> list[FrozenTrial]:
    """Return the trials of a study; none where it, or the file of its storage, is not there yet."""
    with ExitStack() as stack:
        try:
            storage = stack.enter_context(existing_storage(url))
        except StudyError:
            return []
        names = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=study, storage=storage).trials if study in names else []


def stored_runs(uri: str, study: str) -> list[mlflow.entities.Run]:
    """Return the runs of a study that MLflow has, the study's own among them."""
    client = mlflow.MlflowClient(uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == study]
    return list(client.search_runs([experiment.experiment_id], max_results=5000))
