"""A recorded study with everything in it that may move, made without training."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import mlflow
import numpy as np
import optuna
import optuna_dashboard
from optuna.trial import FrozenTrial

from hms_search.document import parse_yaml
from hms_search.search.contract import contract_of, open_study
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.places import Places
from hms_search.search.racing import Ground
from hms_search.search.round_studies import FIRST_KEY, played_round, round_study
from hms_search.search.session import study_tags
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.trial import TrialEnded
from hms_search.tracking import JournaledTracker, MlflowTracker, open_journaled

YAML = """\
name: small
space:
  name: small
  base:
    pipeline: {source: spectrogram, normalise: {name: instance}, resize: [32, 48]}
    model: {name: timm, backbone: test_resnet, weights: none, dropout: 0.0}
    training: {epochs: 2, batch_size: 8, optimiser: {name: adamw, lr: 1.0e-3}, scheduler: {name: cosine}}
  parameters:
    model.dropout: {type: float, low: 0.0, high: 0.5}
    training.optimiser.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
    pipeline.normalise: {type: categorical, choices: {instance: {name: instance}, datawide: {name: datawide}}}
data: {sampling: {name: eeg_middle}, root: synthetic}
folds: {name: grouped, n_folds: 2}
constraints: [{metric: parameters, at_most: 1000}]
rounds: {count: 2, trials: 6, narrow: {freeze: 1}}
sampler: {name: random}
pruner: {name: none}
device: cpu
"""
PNG = b"\x89PNG \x00 not really"


def config_of(yaml: str = YAML, **changes: object) -> StudyConfig:
    document = parse_yaml(yaml, source="small.yaml")
    config = StudyConfig.from_document(document)
    return config.model_copy(update=changes)


@dataclass(frozen=True)
class Recorder:
    """Plays the part of a session: the same ledger and tracker, values instead of trainings."""

    config: StudyConfig
    study: optuna.Study
    places: Places
    tracker: JournaledTracker
    parent_id: str
    tags: Mapping[str, str]

    @property
    def ledger(self) -> Ledger:
        ground = Ground((np.zeros(1),), (np.ones(1, dtype=bool),))
        work = self.places.trials(self.config.name)
        around = Surroundings(self.tracker, self.parent_id, self.tags, self.places.pictures, work, ground)
        return Ledger(self.config, self.study, around)

    def trial(self, outcome: str, *, epochs: int = 4) -> FrozenTrial:
        """Ask for a trial and let it end as told, ``paused`` and ``running`` not at all."""
        trial = self.study.ask()
        self.config.space.suggest(trial)
        tags = {**self.tags, "trial": str(trial.number), "git_commit": "0" * 40}
        run = self.tracker.start_run(
            f"trial {trial.number}",
            parent_id=self.parent_id,
            params={**trial.params, "long": "x" * 6000},
            tags=tags,
            texts={"config.yaml": "ä: 1\n"},
        )
        self.ledger.started([(trial, run.id)])
        for step in range(epochs):
            value = float("nan") if step == 1 else 1.0 / (trial.number + step + 3)
            self.ledger.reached([(trial, step, value)])
            run.log({"kl_all/fold0": value, "lr/fold0": 1e-3 / 3}, step=step)
        metrics = {"kl_all": 0.1 * trial.number + 1 / 3, "parameters": 900.0 + 100 * trial.number, "nan": float("nan")}
        ended = TrialEnded(
            trial.number,
            "paused",
            run.id,
            3.5,
            (metrics["kl_all"],),
            metrics=metrics,
            fold_values=(0.5, 0.25),
            curve=PNG,
        )
        if outcome == "paused":
            run.pause({"learning_curve.png": PNG})
            self.ledger.pause([(trial, ended)])
        elif outcome != "running":
            told: Any = outcome
            run.finish(told, reason=f"why {outcome}", metrics=metrics, files={"oof.parquet": bytes(range(256)) * 40})
            self.ledger.end([(trial, replace(ended, outcome=told))])
        return self.study.trials[trial.number]


def recorder(config: StudyConfig, places: Places, *, first: str | None = None) -> Recorder:
    storage = open_storage(places.storage)
    contract = contract_of(config, data="d" * 12, folds="f" * 12)
    study = open_study(config, contract, storage)
    journals = places.journals(config.name)
    tracker = open_journaled(places.tracking_uri, places.artifacts, journals, study=config.name)
    assert isinstance(tracker, JournaledTracker)
    tags = study_tags(config, contract)
    parent_id = tracker.start_study(tags=tags, texts={"study.yaml": "name: small\n"})
    return Recorder(config, study, places, tracker, parent_id, tags)


def record_study(places: Places, config: StudyConfig | None = None) -> None:
    """Record two rounds of a study: trials in every state, runs of every kind, notes, pictures, constraints."""
    config = config_of() if config is None else config
    storage = open_storage(places.storage)
    first = recorder(round_study(config, [], storage).config, places)
    first.ledger.begin()
    complete = first.trial("complete")
    for outcome in ("pruned", "failed", "interrupted", "complete"):
        first.trial(outcome)
    twin = first.study.ask(first.study.trials[0].distributions)
    first.ledger.answer(twin, first.study.trials[0])
    first.study.set_user_attr("hms_search:weights", {"test_resnet": "none"})
    optuna_dashboard.save_note(first.study, "the study, whose first run is " + complete.user_attrs["mlflow_run_id"])
    _end(first)
    _other_runs(first, complete.user_attrs["mlflow_run_id"])
    following = round_study(config, [played_round(first.config, first.study)], storage)
    second = recorder(following.config, places)
    following.begin(second.study)
    for outcome in ("complete", "paused", "running"):
        second.trial(outcome)
    second.tracker.send_waiting(insist=True)  # of the one that runs, whose epochs are short
    second.study.enqueue_trial({"model.dropout": 0.125}, user_attrs={"warm_start": "good.csv#3"})
    second.study.enqueue_trial(dict(complete.params))
    assert second.study.user_attrs[FIRST_KEY] == config.name
    close_storage(storage)


def _end(recorded: Recorder) -> None:
    rows = [
        {"trial": one.number, "value": 0.5, "run_id": one.user_attrs["mlflow_run_id"]}
        for one in recorded.study.trials
        if "mlflow_run_id" in one.user_attrs
    ]
    recorded.tracker.finish_study(recorded.parent_id, metrics={"best_value": 1 / 3}, table=rows)


def _other_runs(recorded: Recorder, origin: str) -> None:
    """Add what ``noise`` and ``promote`` leave, a run of many values, and files in folders."""
    tracker = MlflowTracker(recorded.places.tracking_uri, recorded.places.artifacts, study=recorded.config.name)
    for kind in ("repetition", "promotion"):
        tags = {"origin_run_id": origin, "identity": "abc"}
        known: Any = kind
        run = tracker.start_run(kind, parent_id=recorded.parent_id, params={}, tags=tags, texts={}, kind=known)
        for step in (0, 300):
            run.log({"kl": step / 7, "kl_high": -step / 3}, step=step)
        run.finish("complete", metrics={}, files={"card.json": json.dumps({"origin": {"run_id": run.id}}).encode()})
    client = mlflow.MlflowClient(recorded.places.tracking_uri)
    many = [mlflow.entities.Metric("many", value / 7, 1_700_000_000_000 + value // 2, value) for value in range(1500)]
    for part in (many[:1000], many[1000:]):
        client.log_batch(run.id, metrics=part)
    client.log_dict(run.id, {"here": [run.id, origin]}, "folder/inner/names.json")
