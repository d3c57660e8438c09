"""What is said of a blend: scores by stratum, differences, and the spread of its weights."""

import json

import numpy as np
import pytest
from members import distributions, member, noisy_members

from hms_search.compare import losses_of
from hms_search.data.oof import OutOfFold
from hms_search.ensemble.cross_fit import cross_fit
from hms_search.ensemble.fit import Method
from hms_search.ensemble.fit_stacking import Stacking
from hms_search.ensemble.fit_weights import Linear, Mean, NelderMead, Weighted
from hms_search.ensemble.scores import by_stratum, scores_of
from hms_search.training.metrics import kl


def test_a_score_is_the_kl_of_its_stratum_within_its_interval() -> None:
    oof = noisy_members()[0]
    scores = by_stratum(oof)
    for stratum, rows in (("all", np.ones(180, dtype=bool)), ("high", oof.high), ("low", ~oof.high)):
        score = scores[stratum]
        assert score.value == pytest.approx(kl(oof.targets[rows], oof.probabilities[rows]))
        assert score.low < score.value < score.high
        assert score.rows == rows.sum()
        assert score.patients == 60
    assert losses_of(oof).shape == (180,)


def test_a_stratum_without_rows_has_no_score() -> None:
    oof = noisy_members()[0]
    only_high = OutOfFold(oof.name, oof.samples.assign(stratum="high"), oof.targets, oof.probabilities)
    assert set(by_stratum(only_high)) == {"all", "high"}


def test_members_the_plain_mean_and_the_blend_are_scored_and_compared() -> None:
    members = noisy_members([0.2, 3.0, 4.0])
    scores = scores_of(cross_fit(NelderMead(), members))
    assert list(scores.members) == ["a", "b", "c"]
    mean = np.mean([m.probabilities for m in members], axis=0)
    assert scores.mean["all"].value == pytest.approx(kl(members[0].targets, mean))
    difference = scores.differences["all"]
    assert difference.mean == pytest.approx(scores.blend["all"].value - scores.mean["all"].value)
    assert difference.verdict == "better"


def test_weighing_equal_members_is_never_called_better_than_their_mean() -> None:
    verdicts = [
        difference.verdict
        for seed in range(8)
        for difference in scores_of(cross_fit(NelderMead(), noisy_members([1.0] * 3, seed=seed))).differences.values()
    ]
    assert "better" not in verdicts
    assert verdicts.count("not distinguishable") > len(verdicts) / 2


def test_the_mean_differs_from_itself_by_nothing() -> None:
    difference = scores_of(cross_fit(Mean(), noisy_members())).differences["all"]
    assert (difference.mean, difference.verdict) == (0, "not distinguishable")


def test_weights_are_told_with_their_spread_over_folds_and_biases_by_class() -> None:
    fit = cross_fit(Linear(), noisy_members())
    weights = scores_of(fit).weights
    assert [weight.name for weight in weights] == [
        *("a", "b", "c"),
        *(f"bias {name}" for name in ("seizure", "lpd", "gpd", "lrda", "grda", "other")),
    ]
    of_folds = np.array([[*blend.config.weights, *blend.config.bias] for blend in fit.fold_blends.values()])  # type: ignore[union-attr]
    assert [weight.lowest for weight in weights] == of_folds.min(axis=0).tolist()
    assert [weight.highest for weight in weights] == of_folds.max(axis=0).tolist()
    fixed = scores_of(cross_fit(Weighted(weights=(1, 1, 2)), noisy_members())).weights
    assert [(weight.value, weight.lowest, weight.highest) for weight in fixed] == [(0.25,) * 3, (0.25,) * 3, (0.5,) * 3]


@pytest.mark.parametrize("method", [Mean(), Stacking(hidden=(4,), epochs=1)], ids=lambda method: method.name)
def test_a_mean_and_a_network_have_no_weights(method: Method) -> None:
    assert scores_of(cross_fit(method, noisy_members())).weights == ()


def test_the_scores_of_a_single_patient_are_plain_json() -> None:
    targets, patients = distributions(5, seed=0), np.zeros(5, dtype=int)
    members = [member(name, distributions(5, seed=i), targets, patients) for i, name in enumerate("ab", start=1)]
    content = scores_of(cross_fit(Mean(space="logits"), members)).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["blend_minus_plain_mean"]["all"]["low"] is None
