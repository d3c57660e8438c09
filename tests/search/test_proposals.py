from collections.abc import Mapping

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from scipy.optimize import check_grad

from hms_search.search.coordinates import Coordinates
from hms_search.search.curve_model import Kernel, Posterior, fit, negative_log_density
from hms_search.search.outcomes import OUTCOME_KEY
from hms_search.search.proposals import (
    CurveSampler,
    is_new,
    known_of,
    last_is_a_repetition,
    losses_of,
    scores,
)

EPOCHS = 52
SPACE: Mapping[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
    "layers": IntDistribution(1, 5),
    "units": IntDistribution(64, 1024, log=True),
    "optimiser": CategoricalDistribution(["adam", "sgd", "lion"]),
}
LINE: Mapping[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}


def sampler_of(space: Mapping[str, BaseDistribution] = SPACE, seed: int = 0, epochs: int = EPOCHS) -> CurveSampler:
    return CurveSampler(space, epochs=epochs, seed=seed, n_startup_trials=5)


def trial(x: float, values: Mapping[int, float], *, state: TrialState = TrialState.PRUNED, value: float | None = None):
    return create_trial(
        params={"x": x}, distributions=dict(LINE), intermediate_values=dict(values), state=state, value=value
    )


# --- coordinates -----------------------------------------------------------------------------------------------------


def test_configurations_and_their_places_are_two_names_of_the_same() -> None:
    coordinates = Coordinates(SPACE)
    rows = coordinates.drawn(200, np.random.default_rng(0))
    assert rows.min() >= 0
    assert rows.max() <= 1
    for row in rows:
        params = coordinates.params(row)
        assert all(
            distribution._contains(distribution.to_internal_repr(params[name])) for name, distribution in SPACE.items()
        )
        np.testing.assert_allclose(coordinates.row(params), row, atol=1e-12)


def test_a_configuration_is_at_the_steps_as_they_are_written() -> None:
    coordinates = Coordinates({"x": FloatDistribution(0.1, 0.4, step=0.1), "n": IntDistribution(2, 8, step=2)})
    assert coordinates.params(np.array([2 / 3, 1 / 3])) == {"x": 0.3, "n": 4}


def test_neighbours_are_near_and_settled() -> None:
    coordinates = Coordinates(SPACE)
    centre = coordinates.drawn(1, np.random.default_rng(0))
    near = coordinates.near(centre, 200, 0.02, np.random.default_rng(1))
    assert np.abs(near[:, 0] - centre[0, 0]).max() < 0.1
    assert set(near[:, 4].round(3)) == {0.167, 0.5, 0.833}
    for row in near[:20]:
        np.testing.assert_allclose(coordinates.row(coordinates.params(row)), row, atol=1e-12)


def test_all_choices_are_equally_far_from_each_other() -> None:
    coordinates = Coordinates({"a": CategoricalDistribution(["x", "y", "z"])})
    features = coordinates.features(np.array([[1 / 6], [3 / 6], [5 / 6]]))
    distances = np.linalg.norm(features[:, None] - features, axis=2)
    np.testing.assert_allclose(distances, 1 - np.eye(3))


def test_a_configuration_with_an_unknown_choice_or_a_missing_parameter_has_no_place() -> None:
    coordinates = Coordinates(SPACE)
    params = coordinates.params(coordinates.drawn(1, np.random.default_rng(0))[0])
    assert coordinates.row(params) is not None
    assert coordinates.row({**params, "optimiser": "rprop"}) is None
    assert coordinates.row({name: params[name] for name in ("lr", "layers")}) is None


# --- model -----------------------------------------------------------------------------------------------------------


def test_the_gradient_of_the_density_is_its_slope() -> None:
    rng = np.random.default_rng(0)
    points, targets = rng.random((20, 3)), rng.normal(size=20)
    logs = np.array([-0.5, 0.2, -1.0, 0.3, -3.0])
    error = check_grad(
        lambda at: negative_log_density(at, points, targets)[0],
        lambda at: negative_log_density(at, points, targets)[1],
        logs,
    )
    assert error < 1e-4


def test_the_posterior_passes_through_what_is_known_and_is_unsure_far_from_it() -> None:
    points = np.array([[0.1], [0.5], [0.9]])
    posterior = Posterior(Kernel(np.array([0.1]), 1.0, 1e-6), points, np.array([1.0, -1.0, 0.5]))
    mean, sd = posterior.at(np.concatenate([points, [[30.0]]]))
    np.testing.assert_allclose(mean, [1.0, -1.0, 0.5, 0.0], atol=1e-4)
    np.testing.assert_allclose(sd, [0.0, 0.0, 0.0, 1.0], atol=1e-2)


def test_a_dimension_without_effect_gets_the_longest_length() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((60, 3))
    kernel = fit(points, np.sin(6 * points[:, 0]) + 0.3 * points[:, 1])
    assert kernel.lengths.argmax() == 2
    assert kernel.lengths.argmin() == 0


# --- what is known ---------------------------------------------------------------------------------------------------


def test_a_curve_counts_at_few_steps_and_at_its_last() -> None:
    curve = {step: 1 / (step + 1) for step in range(20)}
    assert list(losses_of(trial(0.5, curve), EPOCHS)) == [3, 13, 20]


def test_a_second_fold_counts_by_the_final_value_only() -> None:
    curve = dict.fromkeys(range(8), 1.0)
    done = trial(0.5, curve, state=TrialState.COMPLETE, value=0.7)
    assert losses_of(done, epochs=4) == {1: 1.0, 4: 1.0, 8: 0.7}
    assert losses_of(trial(0.5, dict.fromkeys(range(6), 1.0)), epochs=4) == {1: 1.0, 4: 1.0}


def test_a_failed_trial_is_as_bad_as_can_be_unless_it_was_run_again() -> None:
    coordinates = Coordinates(LINE)
    failed, again = trial(0.5, {}, state=TrialState.FAIL), trial(0.5, {2: 0.3})
    known = known_of([failed, trial(0.1, {2: 0.2})], coordinates, EPOCHS, StudyDirection.MINIMIZE)
    assert [max(one.losses.values()) for one in known] == [np.inf, 0.2]
    assert len(known_of([failed, again], coordinates, EPOCHS, StudyDirection.MINIMIZE)) == 1


def test_an_interrupted_trial_is_pending_until_it_was_run_again() -> None:
    left, again = trial(0.5, {}, state=TrialState.FAIL), trial(0.5, {2: 0.3})
    left.user_attrs = {OUTCOME_KEY: "interrupted"}
    (pending,) = known_of([left], Coordinates(LINE), EPOCHS, StudyDirection.MINIMIZE)
    assert pending.losses == {}
    assert [one.losses for one in known_of([left, again], Coordinates(LINE), EPOCHS, StudyDirection.MINIMIZE)] == [
        {3: 0.3}
    ]


def test_nan_counts_as_the_worst_in_either_direction() -> None:
    for direction in StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE:
        known = known_of([trial(0.1, {2: float("nan")}), trial(0.2, {2: 5.0})], Coordinates(LINE), EPOCHS, direction)
        losses = np.array([one.losses[3] for one in known])
        assert scores(losses).argmax() == 0


def test_a_heavy_tail_and_diverged_runs_leave_room_for_differences_among_the_best() -> None:
    good = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    plain, upset = scores(np.append(good, [0.7, 0.8])), scores(np.append(good, [1e6, np.inf]))
    for found in plain, upset:
        assert found.mean() == pytest.approx(0.0, abs=1e-9)
        assert found.std() == pytest.approx(1.0)
        assert (np.diff(found) >= 0).all()
    assert upset[1] - upset[0] > 0.15 * (plain[1] - plain[0])
    np.testing.assert_allclose(np.diff(upset[:4]), upset[1] - upset[0])


@pytest.mark.parametrize("losses", [[np.inf, np.inf], [0.3], [0.3, 0.3, np.inf], [0.3, np.inf, np.inf]])
def test_scores_are_finite_whatever_diverged(losses: list[float]) -> None:
    found = scores(np.array(losses))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


def test_a_last_trial_that_did_exactly_as_another_is_a_repetition() -> None:
    trials = [trial(0.1, {2: 0.3}), trial(0.2, {2: 0.4}), trial(0.15, {2: 0.3})]
    known = known_of(trials, Coordinates(LINE), EPOCHS, StudyDirection.MINIMIZE)
    assert last_is_a_repetition(known)
    assert not last_is_a_repetition(known[:2])
    assert not last_is_a_repetition([])


# --- proposals -------------------------------------------------------------------------------------------------------


def loss_of(params: Mapping[str, object]) -> float:
    """Return a loss that is 0 where lr is 0.003 and the optimiser sgd."""
    return abs(np.log10(float(str(params["lr"]))) + 2.5) + (params["optimiser"] != "sgd")


def searched(sampler: CurveSampler, n_trials: int, *, sign: float = 1.0) -> list[dict[str, object]]:
    """Run a study whose trials all pause after three epochs."""
    study = optuna.create_study(sampler=sampler, direction="minimize" if sign > 0 else "maximize")
    for _ in range(n_trials):
        asked = study.ask(dict(SPACE))
        asked.report(sign * loss_of(asked.params), 2)
    return [one.params for one in study.get_trials(deepcopy=False)]


def test_proposals_find_the_best_configuration_from_paused_trials_alone() -> None:
    proposed = searched(sampler_of(), 30)
    assert min(loss_of(params) for params in proposed) < 0.01  # random draws come so near in 7 % of searches
    assert sum(params["optimiser"] == "sgd" for params in proposed[-10:]) >= 5


def test_nothing_is_proposed_twice_while_there_is_something_new() -> None:
    proposed = searched(sampler_of(), 30)
    rows = np.stack([Coordinates(SPACE).row(params) for params in proposed])
    apart = np.abs(rows[:, None] - rows).max(axis=2) + np.eye(len(rows))
    assert apart.min() > 0.004


def test_a_space_with_nothing_new_left_is_still_answered() -> None:
    space = {"a": CategoricalDistribution(["x", "y"])}
    study = optuna.create_study(sampler=CurveSampler(space, epochs=4, seed=0, n_startup_trials=2))
    for number in range(5):
        asked = study.ask(dict(space))
        asked.report(float(number), 0)
    assert {one.params["a"] for one in study.trials} == {"x", "y"}


def test_the_same_history_and_seed_lead_to_the_same_proposals() -> None:
    assert searched(sampler_of(), 12) == searched(sampler_of(), 12)
    assert searched(sampler_of(seed=1), 12) != searched(sampler_of(), 12)


def test_maximising_proposes_as_minimising_the_negated_values() -> None:
    assert searched(sampler_of(), 12) == searched(sampler_of(), 12, sign=-1.0)


def test_trials_still_pending_keep_others_at_a_distance() -> None:
    study = optuna.create_study(sampler=sampler_of())
    for _ in range(8):
        asked = study.ask(dict(SPACE))
        asked.report(float(asked.params["lr"]), 2)
    pending = [study.ask(dict(SPACE)).params for _ in range(4)]
    rows = np.stack([Coordinates(SPACE).row(params) for params in pending])
    assert is_new(rows[:1], []).all()
    assert np.abs(rows[:, None] - rows).max(axis=2)[~np.eye(4, dtype=bool)].min() > 0.004


def test_runs_that_all_diverged_do_not_stop_the_search() -> None:
    study = optuna.create_study(sampler=sampler_of())
    for _ in range(8):
        study.tell(study.ask(dict(SPACE)), state=TrialState.FAIL)
    assert set(study.ask(dict(SPACE)).params) == set(SPACE)
