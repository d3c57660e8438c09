"""A session that is killed between two rounds, at whatever write, leaves what gives the same next round."""

import math
import multiprocessing
import os
import shutil
import signal
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy

from hms_search.document import parse_yaml
from hms_search.search.contract import contract_of, open_study
from hms_search.search.lineage import FIRST_KEY, LINEAGE_KEY
from hms_search.search.round_studies import played_round, round_study
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig, study_from_document
from hms_search.search.study_attributes import stored_config
from hms_search.search.workers import warm_up

STUDY = """\
name: small
space:
  name: small
  base:
    pipeline: {source: spectrogram, resize: [32, 64]}
    model: {name: timm, backbone: resnet18, dropout: 0.1}
    training: {epochs: 2, optimiser: {name: adamw, lr: 5.0e-4}}
  parameters:
    training.optimiser.lr: {type: float, low: 1e-4, high: 1e-3, log: true}
    model.dropout: {type: float, low: 0.0, high: 0.5}
rounds: {count: 2, trials: 12, narrow: {min_trials: 4}}
sampler: {name: random}
"""
CONFIG = study_from_document(parse_yaml(STUDY, source="small.yaml"))


def opened(config: StudyConfig, storage: optuna.storages.BaseStorage) -> optuna.Study:
    return open_study(config, contract_of(config, data="data", folds="folds"), storage)


def first_round(url: str) -> None:
    storage = open_storage(url)
    study = opened(round_study(CONFIG, [], storage).config, storage)
    for _ in range(12):
        trial = study.ask()
        CONFIG.space.suggest(trial)
        study.tell(trial, math.log(trial.params["training.optimiser.lr"] / 2.5e-3) ** 2 + trial.params["model.dropout"])
    close_storage(storage)


def second_round(url: str, killed_at: int = 0) -> None:
    """Begin the second round; this process is killed before its write of that number."""
    storage = open_storage(url)
    writes = count(1)

    def die(_: object) -> None:
        if next(writes) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if killed_at:
        assert isinstance(storage, optuna.storages.RDBStorage)
        sqlalchemy.event.listen(storage.engine, "commit", die)
    first = round_study(CONFIG, [], storage).config
    current = round_study(
        CONFIG, [played_round(first, optuna.load_study(study_name="small", storage=storage))], storage
    )
    current.begin(opened(current.config, storage))
    close_storage(storage)


def contents(url: str) -> dict[str, Any]:
    storage = open_storage(url)
    study = optuna.load_study(study_name="small.round2", storage=storage)
    trials = [(trial.params, trial.value, trial.user_attrs) for trial in study.trials]
    kept = {key: study.user_attrs[key] for key in (FIRST_KEY, LINEAGE_KEY)}
    close_storage(storage)
    return {"space": stored_config(study)["space"], "names": study.metric_names, "trials": trials, **kept}


def test_a_kill_between_rounds_changes_nothing(tmp_path: Path) -> None:
    template = tmp_path / "template.db"
    first_round(f"sqlite:///{template}")

    def fresh(name: str) -> str:
        shutil.copy(template, tmp_path / name)
        return f"sqlite:///{tmp_path / name}"

    undisturbed = fresh("undisturbed.db")
    second_round(undisturbed)
    expected = contents(undisturbed)
    assert expected["space"] != CONFIG.space.to_dict()
    assert len(expected["trials"]) > 0

    warm_up()
    processes = multiprocessing.get_context("forkserver")
    for killed_at in count(1):
        url = fresh(f"killed{killed_at}.db")
        process = processes.Process(target=second_round, args=(url, killed_at))
        process.start()
        process.join()
        if process.exitcode == 0:  # it had fewer writes
            break
        assert process.exitcode == -signal.SIGKILL
        second_round(url)
        assert contents(url) == expected, f"killed before write {killed_at}"
    assert killed_at > 8
