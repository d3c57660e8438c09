"""Several aims and constraints: what is asked for, what is refused, and which trials no other one beats."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hms_search.errors import ConfigError, StudyError
from hms_search.search.aims import BREAKS_KEY, Aim, Constraint, Wanted, as_losses, pareto_front
from hms_search.search.contract import contract_of, open_study
from hms_search.search.dashboard import serve_dashboard
from hms_search.search.doctor import live_findings
from hms_search.search.evidence import loss_of
from hms_search.search.first_aim import first_aim
from hms_search.search.front_picture import front_picture
from hms_search.search.history import study_history
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.places import Places
from hms_search.search.racing import Ground
from hms_search.search.report import report_of
from hms_search.search.report_page import study_page
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.trial import TrialEnded
from hms_search.tracking import MemoryTracker

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
NO_PRUNER = "pruner={name: none}"
TWO = ("aims=[{metric: kl}, {metric: parameters}]", NO_PRUNER)
WANTED = Wanted((Aim(metric="kl"), Aim(metric="parameters")), (Constraint(metric="parameters", at_most=200),), "all")


def study_of(config: StudyConfig) -> optuna.Study:
    return open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), optuna.storages.InMemoryStorage())


def played(config: StudyConfig, n_trials: int = 12) -> optuna.Study:
    """A study in which dropout makes KL better and costs parameters; every fifth exceeds a constraint, and is good."""
    study = study_of(config)
    for number in range(n_trials):
        trial = study.ask()
        config.space.suggest(trial)
        dropout, rate = trial.params["model.dropout"], trial.params["training.optimiser.lr"]
        trial.set_user_attr("outcome", "complete")
        trial.set_user_attr("baseline", number == 0)
        exceeds = bool(config.constraints) and number % 5 == 4
        if config.constraints:
            trial.set_constraint("parameters", 0.5 if exceeds else -0.5)
        if exceeds:
            trial.set_user_attr(BREAKS_KEY, "parameters is 300, at most 200 is allowed")
        study.tell(trial, [1 - dropout + 10 * abs(rate - 1e-3) - exceeds, 100 + 100 * dropout])
    return study


def test_a_trial_is_on_the_front_unless_another_is_as_good_in_all_and_better_in_one() -> None:
    losses = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [2.0, 3.0], [1.0, 3.0]])
    assert pareto_front(losses).tolist() == [True, True, True, False, True]


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(2, 3)), elements=st.integers(0, 4).map(float)))
def test_the_front_is_that_of_the_definition(losses: np.ndarray) -> None:
    beaten = [any((other <= one).all() and (other < one).any() for other in losses) for one in losses]
    assert pareto_front(losses).tolist() == [not one for one in beaten]


def test_an_aim_that_is_better_when_larger_counts_with_its_sign_turned() -> None:
    assert as_losses([(0.5, 10.0)], ("maximize", "minimize")).tolist() == [[-0.5, 10.0]]


def test_what_a_trial_exceeds_is_said_in_words_and_as_a_share() -> None:
    assert WANTED.broken({"parameters": 300.0}) == "parameters is 300, at most 200 is allowed"
    assert WANTED.broken({"parameters": 200.0}) == ""
    assert WANTED.excess({"parameters": 300.0}) == {"parameters": 0.5}
    assert WANTED.values(0.7, {"parameters": 300.0}) == (0.7, 300.0)
    assert Wanted((), (), "all").values(0.7, {}) == (0.7,)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("aims=[{metric: kl}]", NO_PRUNER), "one aim is what a study has without them"),
        (("aims=[{metric: parameters}, {metric: kl}]", NO_PRUNER), "the first is the study's own value, kl_all"),
        (("aims=[{metric: kl}, {metric: kl}]", NO_PRUNER), "kl_all is there twice"),
        (("aims=[{metric: kl}, {metric: weighted_f1}]", NO_PRUNER), "task hms has no weighted F1"),
        (("aims=[{metric: kl}, {metric: parameters, stratum: low}]", NO_PRUNER), "leave stratum out"),
        (("aims=[{metric: kl}, {metric: parameters}]",), "none may be stopped; write pruner: {name: none} for median"),
        ((*TWO, "sampler={name: cmaes}"), "sampler cmaes knows one value; use tpe or nsga2"),
        ((*TWO, "sampler={name: curve_gp}"), "sampler curve_gp knows one value"),
        ((*TWO, "rounds={count: 2}"), "rounds decide by one value"),
        ((*TWO, "patience={trials: 9}"), "patience decide by one value"),
        ((*TWO, "schedule={name: adaptive}"), "schedule adaptive decides by one value"),
        (("constraints=[{metric: parameters, at_most: 5}]", "sampler={name: gp}"), "sampler gp does not heed them"),
        (("constraints=[{metric: size, at_most: 5}]",), "parameters"),
        (("constraints=[{metric: parameters, at_most: 0}]",), "greater than 0"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace("{", r"\{")):
        read_study(QUICKSTART, settings)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random", "qmc", "grid"])
def test_samplers_that_are_not_refused_search_for_several_aims(sampler: str) -> None:
    config = read_study(QUICKSTART, (*TWO, f"sampler={{name: {sampler}}}"))
    study = played(config)
    assert len(study.trials) == 12
    assert study.directions == [optuna.study.StudyDirection.MINIMIZE] * 2


def exceeding(sampler: str, *, told: bool) -> int:
    """How many of the last 30 of 60 proposals have too much dropout, where more is better but may not be."""
    study = study_of(config := read_study(QUICKSTART, (f"sampler={{name: {sampler}}}", "seed=3")))
    for _ in range(60):
        trial = study.ask()
        config.space.suggest(trial)
        if told:
            trial.set_constraint("dropout", trial.params["model.dropout"] - 0.3)
        study.tell(trial, 1 - trial.params["model.dropout"])
    if told:
        assert study.best_trial.params["model.dropout"] <= 0.3
    return sum(trial.params["model.dropout"] > 0.3 for trial in study.trials[30:])


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_keep_away_from_what_exceeds_a_constraint(sampler: str) -> None:
    assert exceeding(sampler, told=True) < 0.6 * exceeding(sampler, told=False)


def test_a_study_of_other_aims_is_another_study() -> None:
    storage = optuna.storages.InMemoryStorage()
    config = read_study(QUICKSTART, TWO)
    open_study(config, contract_of(config, data="d", folds="f"), storage)
    for settings in ((NO_PRUNER,), (*TWO, "constraints=[{metric: memory_mb, at_most: 5}]")):
        other = read_study(QUICKSTART, settings)
        with pytest.raises(StudyError, match="another objective: objective was all; aims kl_all, parameters and is"):
            open_study(other, contract_of(other, data="d", folds="f"), storage)


def test_the_report_has_the_front_and_the_best_of_the_first_aim_within_the_constraints() -> None:
    config = read_study(QUICKSTART, (*TWO, "constraints=[{metric: parameters, at_most: 200}]"))
    study = played(config)
    report = report_of(study)
    within = [row for row in report.rows if not row.breaks]
    assert len(within) == 10
    assert report.best == min(within, key=lambda row: row.aims[0])
    expected = [trial.number for trial in study.best_trials]  # Optuna's own word for the front
    assert sorted(row.number for row in report.front) == expected
    assert report.front[0] == report.best == report.best_first[0]
    assert all(row.breaks for row in report.best_first[-2:])
    assert report.metrics()["trials_on_the_front"] == len(expected)
    assert report.table()[0]["parameters"] == report.rows[0].aims[1]
    assert front_picture(report).startswith(b"\x89PNG")


def test_a_trial_that_exceeds_a_constraint_is_evidence_against_its_place() -> None:
    study = played(read_study(QUICKSTART, (*TWO, "constraints=[{metric: parameters, at_most: 200}]")))
    assert loss_of(study.trials[4], "minimize") == np.inf
    assert loss_of(study.trials[3], "minimize") == study.trials[3].values[0]


def test_the_page_of_several_aims_shows_the_front_and_the_first_aim() -> None:
    config = read_study(QUICKSTART, TWO)
    study = played(config)
    page = study_page(study._storage, config.name, None)
    text = page.markdown()
    assert "## Pareto front" in text
    assert "aims: kl_all (smaller is better), parameters (smaller is better). All else on this page" in text
    assert "- Plot: kl_all over parameters of each completed trial." in text
    assert "- Plot: Value of each completed trial, and the best value so far." in text
    assert "| aims and constraints | aims kl_all, parameters |" in text
    assert "Pareto front" in page.html()


def test_the_first_aim_alone_is_a_study_with_the_same_trials() -> None:
    study = played(read_study(QUICKSTART, TWO))
    alone = first_aim(study)
    assert [trial.value for trial in alone.trials] == [trial.values[0] for trial in study.trials]
    assert [trial.params for trial in alone.trials] == [trial.params for trial in study.trials]
    assert [trial.datetime_start for trial in alone.trials] == [trial.datetime_start for trial in study.trials]
    assert alone.user_attrs == study.user_attrs
    assert first_aim(alone) is alone


def test_the_doctor_says_nothing_of_a_single_value_where_there_are_several_aims() -> None:
    config = read_study(QUICKSTART, TWO)
    study = played(config, n_trials=70)
    history = study_history(study._storage, config.name)
    assert not {finding.what for finding in live_findings(history)} & {"the search no longer improves"}


def test_a_space_most_of_which_exceeds_a_constraint_is_found() -> None:
    config = read_study(QUICKSTART, ("constraints=[{metric: parameters, at_most: 200}]",))
    study = study_of(config)
    for _ in range(6):
        trial: Any = study.ask()
        config.space.suggest(trial)
        trial.set_user_attr("outcome", "pruned")
        trial.set_user_attr(BREAKS_KEY, "parameters is 300, at most 200 is allowed")
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    found = {finding.what: finding for finding in live_findings(study_history(study._storage, config.name))}
    assert "6 of 6 trials" in found["most trials exceed a constraint"].evidence
    assert "every trial is pruned" not in found


def read(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as response:
        return json.loads(response.read())


def test_a_study_of_several_aims_is_served_with_all_of_them_and_its_curves(tmp_path: Path) -> None:
    places = Places(root=tmp_path)
    config = read_study(QUICKSTART, ("aims=[{metric: kl}, {metric: parameters}]", "pruner={name: none}"))
    storage = open_storage(places.storage)
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    around = Surroundings(MemoryTracker(), "study", {}, places.pictures, tmp_path, Ground((), ()))
    trial = study.ask()
    config.space.suggest(trial)
    ledger = Ledger(config, study, around)
    ledger.reached([(trial, 0, 0.8)])
    ledger.end([(trial, TrialEnded(0, "complete", "run", seconds=1.0, values=(0.7, 300.0)))])
    close_storage(storage)
    with serve_dashboard(places.storage, places.pictures, port=0) as address:
        (summary,) = read(f"{address}/api/studies")["study_summaries"]
        assert summary["directions"] == ["minimize", "minimize"]
        detail = read(f"{address}/api/studies/{summary['study_id']}?after=0")
    assert detail["objective_names"] == ["KL divergence, all votes", "parameters"]
    (shown,) = detail["trials"]
    assert [float(value) for value in shown["values"]] == [0.7, 300.0]
    assert shown["intermediate_values"] == [{"step": 0, "value": 0.8}]
