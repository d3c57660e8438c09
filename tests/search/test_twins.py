"""Twins: a trial is answered by another one of the same experiment, in whatever words it was asked."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from hms_search.search.carrying import carried
from hms_search.search.contract import contract_of, open_study
from hms_search.search.migration import migrate
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.twins import Twins

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
LR, DROPOUT, NORMALISE, SCHEDULER = (
    "training.optimiser.lr",
    "model.dropout",
    "pipeline.normalise",
    "training.scheduler",
)
PARAMETERS = {
    DROPOUT: "{type: float, low: 0.0, high: 0.5, step: 0.25}",
    NORMALISE: "{type: categorical, choices: {instance: {name: instance}, datawide: {name: datawide}}}",
    SCHEDULER: "{type: categorical, choices: {plain: {name: cosine}, same: {name: cosine, warmup_epochs: 0}}}",
    LR: "{type: float, low: 1e-4, high: 1e-2, log: true}",
}


def config_of(
    name: str, *paths: str, base: dict[str, Any] | None = None, settings: tuple[str, ...] = ()
) -> StudyConfig:
    """Return a study of a base (path: value) that varies these paths."""
    searched = ", ".join(f"{path}: {PARAMETERS[path]}" for path in paths)
    fixed = [f"space.base.{path}={value}" for path, value in (base or {}).items()]
    parts = (f"name={name}", "sampler={name: random}", *fixed, f"space.parameters={{{searched}}}")
    return read_study(QUICKSTART, (*parts, *settings))


def opened(config: StudyConfig, storage: optuna.storages.BaseStorage) -> optuna.Study:
    return open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)


def played(config: StudyConfig, storage: optuna.storages.BaseStorage, n: int = 12) -> optuna.Study:
    study = opened(config, storage)
    for _ in range(n):
        trial = study.ask()
        config.space.suggest(trial)
        study.tell(trial, 0.5)
    return study


def twins_of(study: optuna.Study) -> Twins:
    twins = Twins(study)
    for trial in study.get_trials(deepcopy=False):
        twins.add(trial)
    return twins


@pytest.fixture
def storage() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


def test_two_names_of_one_component_are_one_experiment(storage: optuna.storages.BaseStorage) -> None:
    config = config_of("names", SCHEDULER)
    study = opened(config, storage)
    study.enqueue_trial({SCHEDULER: "same"})
    study.tell(study.ask(config.space.distributions), 0.5)
    twin = twins_of(study).of({SCHEDULER: "plain"})
    assert twin is not None
    assert twin.params == {SCHEDULER: "same"}


def test_a_trial_that_was_taken_over_is_a_twin_of_what_its_study_did_not_search(
    storage: optuna.storages.BaseStorage,
) -> None:
    before = played(config_of("old", DROPOUT, NORMALISE), storage)
    config = config_of("new", DROPOUT, NORMALISE, LR, settings=("migrate=old",))
    study = opened(config, storage)
    migrate(config, contract_of(config, data="d" * 12, folds="f" * 12), study)
    twins, rate = twins_of(study), config.space.base_value(LR)
    for trial in before.trials:
        assert twins.of({**trial.params, LR: rate}) is not None
        assert twins.of({**trial.params, LR: 2 * rate}) is None


def test_a_carried_trial_is_a_twin_exactly_where_its_experiment_is_the_same(
    storage: optuna.storages.BaseStorage,
) -> None:
    first = config_of("first", DROPOUT, NORMALISE, SCHEDULER)
    before = played(first, storage, 40)
    frozen = {NORMALISE: "{name: datawide}", SCHEDULER: "{name: cosine}"}
    following = config_of("first.round2", DROPOUT, base=frozen)
    study = opened(following, storage)
    equal = 0
    for trial in carried(before.trials, following.space, study="first"):
        here, (_, number) = following.space.config(trial.params), trial.user_attrs["carried_from"].split("#")
        alone = Twins(study)
        alone.add(trial)
        ran = first.space.suggest(before.trials[int(number)])
        assert (alone.of(trial.params) is not None) == (ran.fingerprint() == here.fingerprint())
        equal += ran.fingerprint() == here.fingerprint()
    assert 0 < equal < 40


def test_a_trial_whose_study_fixed_something_else_is_no_twin(storage: optuna.storages.BaseStorage) -> None:
    before = played(config_of("first", DROPOUT), storage)
    for name, rate, found in (("same", "0.001", True), ("other", "0.002", False)):
        following = config_of(name, DROPOUT, base={LR: rate})
        study = opened(following, storage)
        study.add_trials(carried(before.trials, following.space, study="first"))
        assert (twins_of(study).of(before.trials[0].params) is not None) is found


def test_a_carried_trial_of_a_study_that_is_gone_is_a_twin_where_all_that_it_varied_is_the_same(
    storage: optuna.storages.BaseStorage,
) -> None:
    before = played(config_of("first", DROPOUT, NORMALISE), storage)
    for name, paths, found in (("all", (DROPOUT, NORMALISE), True), ("fewer", (DROPOUT,), False)):
        following = config_of(name, *paths)
        study = opened(following, storage)
        study.add_trials(carried(before.trials, following.space, study="gone"))
        assert (twins_of(study).of(study.trials[0].params) is not None) is found
