"""All that Optuna and MLflow tell of what they store, as JSON to compare, and a study moved between two places."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import optuna
import optuna_dashboard

from hms_search.search.places import Places
from hms_search.search.relocation import Relocated, relocate
from hms_search.search.storage import existing_storage
from hms_search.tracking.copied_run import STAMP_TAG
from hms_search.tracking.mlflow_run import EARLIER_TAG


def moved(
    source: Places, target: Places, *, name: str = "small", after: Callable[[], None] = lambda: None
) -> Relocated:
    """Move a study; ``after`` is called after each step."""
    return relocate(name, source, target, notify=lambda _: None, progress=lambda *_: after())


def everything(places: Places) -> tuple[object, object]:
    """All that is stored of studies and runs, under the first names that runs had."""
    names = original_names(places)
    return studies_of(places, names), runs_of(places, names)


def studies_of(places: Places, ids: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All that Optuna tells of every study of a storage, runs under the names of ``ids``, as JSON."""
    found = {}
    with existing_storage(places.storage) as storage:
        for name in sorted(optuna.get_all_study_names(storage)):
            study = optuna.load_study(study_name=name, storage=storage)
            own = {key: value for key, value in study.user_attrs.items() if key != "hms_search:copied"}
            system = storage.get_study_system_attrs(study._study_id)
            kept = {key: value for key, value in system.items() if not key.startswith("dashboard:")}
            found[name] = {
                "directions": [one.name for one in study.directions],
                "metric_names": study.metric_names,
                "attributes": [own, kept, optuna_dashboard.get_note(study)],
                "trials": [_trial(trial, study) for trial in study.get_trials()],
            }
    return _named(found, ids or {})


def _trial(trial: optuna.trial.FrozenTrial, study: optuna.Study) -> dict[str, Any]:
    content = {
        key.lstrip("_"): value for key, value in vars(trial).items() if key not in ("_trial_id", "_distributions")
    }
    distributions = {name: optuna.distributions.distribution_to_json(one) for name, one in trial.distributions.items()}
    live = optuna.Trial.__new__(optuna.Trial)  # a handle, as a note wants one; the trial has ended
    live.study, live._trial_id, live.storage = study, trial._trial_id, study._storage
    note = optuna_dashboard.get_note(live)
    return json.loads(
        json.dumps(
            {**content, "distributions": distributions, "note": note, "constraints": trial.constraints}, default=str
        )
    )


def runs_of(places: Places, ids: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All that MLflow tells of every run of a store, by experiment and run, as JSON."""
    client = mlflow.MlflowClient(places.tracking_uri)
    found: dict[str, Any] = {}
    for experiment in client.search_experiments():
        prefix = f"#/experiments/{experiment.experiment_id}/"
        for run in client.search_runs([experiment.experiment_id]):
            info = run.info
            history = {
                key: sorted(
                    [one.step, one.timestamp, str(one.value)] for one in client.get_metric_history(info.run_id, key)
                )
                for key in run.data.metrics
            }
            tags = {
                key: value.replace(prefix, "#/experiments/N/")
                for key, value in run.data.tags.items()
                if key not in (EARLIER_TAG, STAMP_TAG)
            }
            found[f"{experiment.name}:{info.run_id}"] = {
                "info": [
                    info.run_name,
                    info.status,
                    info.start_time,
                    info.end_time,
                    info.lifecycle_stage,
                    info.user_id,
                ],
                "params": dict(run.data.params),
                "tags": tags,
                "metrics": history,
                "files": _files(client, info.run_id),
            }
    return _named(found, ids or {})


def _files(client: mlflow.MlflowClient, run_id: str, folder: str | None = None) -> dict[str, str]:
    found = {}
    for one in client.list_artifacts(run_id, folder):
        if one.is_dir:
            found |= _files(client, run_id, one.path)
        else:
            found[one.path] = Path(client.download_artifacts(run_id, one.path)).read_bytes().decode("latin-1")
    return found


def original_names(places: Places) -> dict[str, str]:
    """What each run of a store was called where it was recorded, by its id."""
    client = mlflow.MlflowClient(places.tracking_uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    tags = {run.info.run_id: run.data.tags for run in client.search_runs(experiments)}
    return {run_id: own[EARLIER_TAG].split()[0] for run_id, own in tags.items() if EARLIER_TAG in own}


def _named(content: Any, ids: Mapping[str, str]) -> Any:
    text = json.dumps(content, sort_keys=True)
    for ours, theirs in ids.items():
        text = text.replace(ours, theirs)
    return json.loads(text)
