"""A study of many finished trials, and the runs of as many in MLflow, written as the platform writes them but at once.

Through Optuna and MLflow 10,000 trials take a quarter of an hour to write, and nothing would be measured by it.
"""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState

FOLDS, EPOCHS = 2, 2
STUDY: Mapping[str, Any] = {
    "name": "scale",
    "space": {
        "name": "scale",
        "base": {
            "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
            "model": {"name": "timm", "backbone": "test_resnet", "weights": "none", "dropout": 0.0},
            "training": {"epochs": EPOCHS, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 1e-3}},
        },
        "parameters": {
            "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "training.optimiser.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "pipeline.normalise": {
                "type": "categorical",
                "choices": {"instance": {"name": "instance"}, "datawide": {"name": "datawide"}},
            },
        },
    },
    "folds": {"name": "grouped", "n_folds": FOLDS},
    "sampler": {"name": "random"},
    "pruner": {"name": "median"},
    "device": "cpu",
}
DISTRIBUTIONS = {
    "model.dropout": FloatDistribution(0.0, 0.5),
    "training.optimiser.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "pipeline.normalise": CategoricalDistribution(("instance", "datawide")),
}


def fill(study: optuna.Study, storage: RDBStorage, size: int) -> None:
    """Add finished trials until there are ``size``, each with its attributes, curve and note."""
    there = len(study.get_trials(deepcopy=False))
    rng = np.random.default_rng(0)
    began = datetime.now(tz=UTC).replace(tzinfo=None) - timedelta(minutes=size)
    trial = models.TrialModel
    rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in _TABLES}
    with storage.engine.begin() as connection:
        trials = [
            {
                "number": number,
                "study_id": study._study_id,
                "state": TrialState.COMPLETE,
                "datetime_start": began + timedelta(minutes=number),
                "datetime_complete": began + timedelta(minutes=number + 1),
            }
            for number in range(there, size)
        ]
        connection.execute(sqlalchemy.insert(trial.__table__), trials)
        made = connection.execute(
            sqlalchemy.select(trial.trial_id, trial.number)
            .where(trial.study_id == study._study_id, trial.number >= there)
            .order_by(trial.number)
        ).all()
        for trial_id, number in made:
            for table, row in _parts(rng, study._study_id, trial_id, number):
                rows[table].append(row)
        for table, written in rows.items():
            connection.execute(sqlalchemy.insert(table.__table__), written)


def fill_runs(url: str, run_id: str, count: int) -> None:
    """Copy a run in MLflow's database until there are ``count`` like it."""
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    known = sqlalchemy.MetaData()
    known.reflect(engine)
    of_runs = [table for table in known.sorted_tables if "run_uuid" in table.columns]
    ids = [uuid.uuid4().hex for _ in range(count)]
    with engine.begin() as connection:
        for table in of_runs:
            found = connection.execute(sqlalchemy.select(table).where(table.c.run_uuid == run_id)).mappings().all()
            if found:
                copies = [{**row, "run_uuid": copied} for copied in ids for row in found]
                connection.execute(sqlalchemy.insert(table), copies)
    engine.dispose()


_TABLES = (
    models.TrialValueModel,
    models.TrialParamModel,
    models.TrialIntermediateValueModel,
    models.TrialUserAttributeModel,
    models.StudySystemAttributeModel,
)


def _parts(rng: np.random.Generator, study_id: int, trial_id: int, number: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the rows of a trial that completed."""
    value, parameter, step, attribute, note = _TABLES
    curve = rng.uniform(0.5, 1.5, FOLDS * EPOCHS).tolist()
    folds = [curve[EPOCHS * (fold + 1) - 1] for fold in range(FOLDS)]
    finite = models.TrialValueModel.TrialValueType.FINITE
    yield value, {"trial_id": trial_id, "objective": 0, "value": float(np.mean(folds)), "value_type": finite}
    drawn = (rng.uniform(0, 0.5), 10 ** rng.uniform(-4, -2), rng.integers(0, 2))
    for (path, distribution), one in zip(DISTRIBUTIONS.items(), drawn, strict=True):
        yield (
            parameter,
            {
                "trial_id": trial_id,
                "param_name": path,
                "param_value": float(one),
                "distribution_json": distribution_to_json(distribution),
            },
        )
    for at, reached in enumerate(curve):
        kind = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
        yield step, {"trial_id": trial_id, "step": at, "intermediate_value": reached, "intermediate_value_type": kind}
    kept = {
        "outcome": '"complete"',
        "seconds": "60.0",
        "folds": str(folds),
        "kl_all": str(float(np.mean(folds))),
        "mlflow_run_id": f'"{number:032x}"',
    }
    for key, content in kept.items():
        yield attribute, {"trial_id": trial_id, "key": key, "value_json": content}
    for key, content in {"note_ver": "1", "note_str:0": '"MLflow run `0123`\\n\\noutcome: complete"'}.items():
        yield note, {"study_id": study_id, "key": f"dashboard:{trial_id}:{key}", "value_json": content}
