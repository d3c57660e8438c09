"""Blends of members that tell seizures apart: fitted by log loss, scored by weighted F1."""

import numpy as np
import pytest
from members import seizure_members
from sklearn.metrics import f1_score

from hms_search.data.oof import OutOfFold
from hms_search.ensemble.cross_fit import cross_fit
from hms_search.ensemble.fit import Method
from hms_search.ensemble.fit_stacking import Stacking
from hms_search.ensemble.fit_weights import Linear, Mean, NelderMead
from hms_search.ensemble.scores import scores_of
from hms_search.training.metrics import kl


def weighted(oof: OutOfFold) -> float:
    true, predicted = oof.targets.argmax(axis=1), oof.probabilities.argmax(axis=1)
    return float(f1_score(true, predicted, average="weighted"))


@pytest.mark.parametrize("method", [Mean(), NelderMead(), Linear(), Stacking(hidden=(16,), epochs=3)])
def test_every_method_blends_eight_classes_and_is_scored_by_f1(method: Method) -> None:
    members = seizure_members((0.7, 0.6, 0.2), n_patients=24)
    fit = cross_fit(method, members, name="blend")
    assert fit.oof.task == "seizure_types"
    assert fit.oof.probabilities.shape == (len(members[0]), 8)
    np.testing.assert_allclose(fit.oof.probabilities.sum(axis=1), 1, atol=1e-9)
    scores = scores_of(fit)
    assert set(scores.blend) == set(scores.differences) == {"all"}
    assert scores.blend["all"].value == pytest.approx(weighted(fit.oof))
    for member in members:
        assert scores.members[member.name]["all"].value == pytest.approx(weighted(member))


def test_fitted_weights_trust_the_better_member_and_lower_the_log_loss() -> None:
    members = seizure_members((0.8, 0.2), n_patients=60)
    fitted, mean = (cross_fit(method, members) for method in (NelderMead(), Mean()))
    assert fitted.blend.config.weights[0] > 0.8
    assert kl(fitted.oof.targets, fitted.oof.probabilities) < kl(mean.oof.targets, mean.oof.probabilities)
