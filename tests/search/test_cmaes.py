"""CMA-ES without a pickle: what it knows follows from the record, and is what Optuna's own knows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import CmaEsSampler

from hms_search.search.cmaes import ReplayedCmaEs

Known = Callable[[optuna.Study], Any]


def ask(study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 8, 64, step=8)
    trial.suggest_float("dropout", 0.0, 0.5)
    trial.suggest_categorical("fill", ["floor", "mean"])
    return trial


def search(sampler: CmaEsSampler, direction: str = "minimize") -> optuna.Study:
    study = optuna.create_study(sampler=sampler, direction=direction)
    for _ in range(40):
        trial = ask(study)
        params = trial.params
        value = (np.log10(params["rate"]) + 2) ** 2 + (params["width"] / 64 - 0.5) ** 2 + params["dropout"]
        study.tell(trial, float(value if direction == "minimize" else -value))
    return study


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Returns the distribution from which our sampler, new to a study, draws its next trial."""
    made: list[Any] = []
    make = ReplayedCmaEs._init_optimizer

    def kept(self: ReplayedCmaEs, *given: Any) -> Any:
        made.append(make(self, *given))
        return made[-1]

    def known_of(study: optuna.Study) -> Any:
        study.sampler = ReplayedCmaEs(seed=2, warn_independent_sampling=False)
        ask(study)
        return made[-1]

    monkeypatch.setattr(ReplayedCmaEs, "_init_optimizer", kept)
    return known_of


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_knows_what_optunas_own_knows_and_goes_on_with_its_studies(direction: str, known: Known) -> None:
    study = search(CmaEsSampler(seed=1, warn_independent_sampling=False), direction)
    theirs, ours = CmaEsSampler(seed=1)._restore_optimizer(study.trials), known(study)
    assert theirs is not None
    assert ours.generation == theirs.generation > 3
    np.testing.assert_allclose(ours._mean, theirs._mean)
    np.testing.assert_allclose(ours._sigma, theirs._sigma)
    np.testing.assert_allclose(ours._C, theirs._C)


def test_it_keeps_nothing_but_the_generation() -> None:
    kept = [trial.system_attrs for trial in search(ReplayedCmaEs(seed=1, warn_independent_sampling=False)).trials]
    assert {name for one in kept for name in one} == {"cma:generation"}
    assert all(type(generation) is int for one in kept for generation in one.values())


def test_a_trial_that_ends_when_its_generation_is_full_changes_nothing_that_was_learned(known: Known) -> None:
    trials = search(ReplayedCmaEs(seed=1, warn_independent_sampling=False)).trials
    second = trials[1]
    late = optuna.trial.create_trial(
        params=second.params, distributions=second.distributions, system_attrs=second.system_attrs, value=-100.0
    )
    found = []
    for record in (trials, [late, *trials]):
        study = optuna.create_study()
        study.add_trials(record)
        found.append(known(study))
    assert found[0].generation == found[1].generation > 3
    np.testing.assert_array_equal(found[0]._mean, found[1]._mean)
