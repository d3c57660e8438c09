"""Which trials are promoted: the best of each design, and only those that completed."""

from dataclasses import replace

import optuna
import pytest

from hms_search.document import parse_yaml
from hms_search.errors import StudyError
from hms_search.promotion.choose import choose, completed_trial, design, luck
from hms_search.search.contract import contract_of, open_study
from hms_search.search.recorded import RecordedStudy, recorded_study
from hms_search.search.repeated import Again, Repeated
from hms_search.search.report import OUTCOME_KEY
from hms_search.search.study import StudyConfig, study_from_document

STUDY = """
name: designs
space:
  name: designs
  base:
    pipeline: {source: spectrogram, normalise: {name: instance}, resize: [32, 48]}
    model: {name: timm, backbone: test_resnet, dropout: 0.0}
    training: {epochs: 2, batch_size: 8}
  parameters:
    model.backbone: {type: categorical, choices: [test_resnet, test_vit]}
    model.dropout: {type: float, low: 0.0, high: 0.5}
    pipeline.clip_log.high: {type: float, low: 6, high: 12}
    pipeline.normalise: {type: categorical, choices: {instance: {name: instance}, datawide: {name: datawide}}}
    pipeline.resize: {type: categorical, choices: {small: [32, 48], large: [64, 96]}}
    training.optimiser.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
"""
BASE = {
    "model.backbone": "test_resnet",
    "model.dropout": 0.0,
    "pipeline.clip_log.high": 10.0,
    "pipeline.normalise": "instance",
    "pipeline.resize": "small",
    "training.optimiser.lr": 1e-3,
}


SEIZURES = """
name: designs
task: seizure_types
folds: {name: files}
space:
  name: designs
  base:
    pipeline: {source: fft_image}
    model: {name: eeg_cnn}
  parameters:
    model.kernel: {type: categorical, choices: [3, 5]}
"""


def recorded(trials: list[tuple[float | None, dict[str, object]]], text: str = STUDY) -> RecordedStudy:
    """A study with these trials: a value, or None for a pruned one, and what differs from the base."""
    config: StudyConfig = study_from_document(parse_yaml(text, source="study"))
    storage = optuna.storages.InMemoryStorage()
    study = open_study(config, contract_of(config, data="data", folds="folds"), storage)
    for value, changes in trials:
        study.enqueue_trial({**BASE, **changes} if text is STUDY else changes)
        trial = study.ask()
        config.space.suggest(trial)
        trial.report(value or 9.0, 0)
        trial.set_user_attr(OUTCOME_KEY, "pruned" if value is None else "complete")
        study.tell(trial, value, state=optuna.trial.TrialState.PRUNED if value is None else None)
    return recorded_study(storage, "designs")


def test_the_highest_f1_is_the_best() -> None:
    study = recorded([(0.4, {"model.kernel": 3}), (0.7, {"model.kernel": 5}), (0.5, {"model.kernel": 5})], SEIZURES)
    assert [trial.number for trial in choose(study, top=3)] == [1, 0]


def test_the_best_of_each_design_are_chosen_best_first() -> None:
    study = recorded(
        [
            (1.0, {}),
            (0.5, {"training.optimiser.lr": 5e-3}),
            (0.6, {"model.dropout": 0.3, "pipeline.clip_log.high": 8.0}),
            (0.7, {"pipeline.normalise": "datawide"}),
            (0.8, {"model.backbone": "test_vit"}),
            (0.9, {"pipeline.resize": "large"}),
            (None, {"pipeline.normalise": "datawide", "model.backbone": "test_vit"}),
        ]
    )
    assert [trial.number for trial in choose(study, top=9)] == [1, 3, 4, 5]
    assert [trial.number for trial in choose(study, top=2)] == [1, 3]
    assert design(study.trial(0).config) == design(study.trial(1).config) == design(study.trial(2).config)
    assert study.trial(3).config.training.optimiser.lr == 1e-3


def test_a_trial_that_did_not_complete_is_refused_with_those_that_did() -> None:
    study = recorded([(1.0, {}), (0.5, {"model.dropout": 0.1}), (None, {"model.dropout": 0.2})])
    assert completed_trial(study, 1).number == 1
    with pytest.raises(StudyError, match=r"trial 2 of study 'designs' is pruned; .*best first: 1, 0"):
        completed_trial(study, 2)
    with pytest.raises(StudyError, match=r"has no trial 3; it has 0 to 2"):
        completed_trial(study, 3)
    with pytest.raises(StudyError, match="no completed trial"):
        choose(recorded([(None, {})]), top=1)


def test_a_failed_trial_is_refused_with_the_reason_of_its_failure() -> None:
    study = recorded([(1.0, {}), (None, {"model.dropout": 0.2})])
    failed = replace(study.trials[1], row=replace(study.trials[1].row, outcome="failed", reason="the loss is NaN"))
    with pytest.raises(StudyError, match=r"trial 1 of study 'designs' is failed: the loss is NaN; only a completed"):
        completed_trial(replace(study, trials=(study.trials[0], failed)), 1)


def test_what_was_rechecked_is_ranked_by_what_that_found_and_stands_first() -> None:
    study = recorded([(0.9, {}), (0.5, {"model.dropout": 0.1}), (0.6, {"model.dropout": 0.2}), (0.4, {})])
    assert "the best of 4 completed trials looks better than it is" in luck(study)
    baseline, *again = (
        Repeated(number, f"designs-trial{number}", 0.5, (value,)) for number, value in ((0, 0.9), (1, 0.8), (2, 0.7))
    )
    rechecked = replace(study, recheck=Again((1,), True, baseline, tuple(again)))
    assert [trial.number for trial in rechecked.honest_first] == [2, 1, 3, 0]
    assert [trial.number for trial in rechecked.completed] == [3, 1, 2, 0]
    assert "trial 3 has the best value but was not rechecked" in luck(rechecked)
    assert luck(replace(rechecked, trials=rechecked.trials[:3])) == ""
    failed = replace(rechecked, recheck=Again((1,), True, baseline, (replace(again[0], values=(None,)), again[1])))
    assert [trial.number for trial in failed.honest_first][:2] == [2, 1]
