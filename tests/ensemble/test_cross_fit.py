"""Cross-fitting: no row is scored by a blend that saw it."""

from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import pytest
from members import distributions, member, noisy_members

from hms_search.data.oof import OutOfFold, out_of_fold
from hms_search.data.oof_alignment import align
from hms_search.ensemble.blends import WeightedBlend
from hms_search.ensemble.cross_fit import CrossFit, cross_fit
from hms_search.ensemble.fit import Method
from hms_search.ensemble.fit_stacking import Stacking
from hms_search.ensemble.fit_weights import Linear, Mean, NelderMead, Weighted
from hms_search.ensemble.rows import Rows
from hms_search.errors import DataError
from hms_search.training.metrics import kl

STACKING = Stacking(hidden=(32, 32), epochs=30, batch_size=32)
LEARNING: list[Method] = [NelderMead(), NelderMead(space="logits"), Linear(), STACKING]
METHODS: list[Method] = [Mean(), Mean(space="logits"), Weighted(weights=(0.25, 0.42, 0.33)), *LEARNING]


def score(oof: OutOfFold) -> float:
    return kl(oof.targets, oof.probabilities)


def prior_score(oof: OutOfFold) -> float:
    return kl(oof.targets, oof.targets.mean(axis=0, keepdims=True).repeat(len(oof), axis=0))


def fingerprints(*, patients_known: bool) -> list[OutOfFold]:
    """Members that tell patients apart and know nothing else; targets are random per patient.

    Where the patients are not known, each row counts as a patient of its own, so that folds divide the real ones.
    """
    real = np.repeat(np.arange(60), 4)
    targets = np.eye(6)[np.random.default_rng(1).integers(0, 6, 60)][real]
    patients = real if patients_known else np.arange(len(real))
    seen = distributions(60, seed=2, members=3)[:, real]
    return [member(f"m{i}", q, targets, patients, n_folds=4) for i, q in enumerate(seen)]


@dataclass(frozen=True)
class Memory:
    """A blend that knows the targets of the rows it was fitted on by heart, and of others nothing."""

    known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        rows = probabilities.swapaxes(0, 1)
        return np.array([self.known.get(row.tobytes(), np.full(6, 1 / 6)) for row in rows]).reshape(-1, 6)


class Memoriser:
    """The method that fits a Memory."""

    name = "memoriser"

    def fit(self, rows: Rows, *, seed: int) -> Memory:  # noqa: ARG002
        members = rows.probabilities.swapaxes(0, 1)
        return Memory({row.tobytes(): target for row, target in zip(members, rows.targets, strict=True)})


def test_a_method_that_knows_its_rows_by_heart_gains_nothing_out_of_fold() -> None:
    members = noisy_members()
    fit = cross_fit(Memoriser(), members)  # type: ignore[arg-type]
    np.testing.assert_allclose(fit.oof.probabilities, 1 / 6)
    in_sample = fit.blend.apply(np.stack([m.probabilities for m in members]))
    assert kl(members[0].targets, in_sample) == pytest.approx(0, abs=1e-12)  # so it would have shown


def test_stacking_on_noise_is_no_better_than_the_prior_and_would_be_if_it_saw_its_patients() -> None:
    eager = Stacking(hidden=(128, 128), epochs=120, lr=3e-3, batch_size=32)
    honest = cross_fit(eager, align(fingerprints(patients_known=True))).oof
    assert score(honest) >= prior_score(honest)
    leaking = cross_fit(eager, align(fingerprints(patients_known=False))).oof
    assert score(leaking) < 0.5 * prior_score(leaking)


@pytest.mark.parametrize("method", LEARNING, ids=lambda method: f"{method.name}-{getattr(method, 'space', '')}")
def test_the_targets_of_a_fold_have_no_say_in_how_it_is_blended(method: Method) -> None:
    members = noisy_members(n_patients=30)
    held_out = members[0].folds == 0
    turned = members[0].targets.copy()
    turned[held_out] = turned[held_out][:, ::-1]
    others = [out_of_fold(m.name, m.samples, m.folds, turned, m.probabilities) for m in members]
    before, after = cross_fit(method, members), cross_fit(method, others)
    np.testing.assert_array_equal(before.oof.probabilities[held_out], after.oof.probabilities[held_out])
    assert not np.array_equal(before.oof.probabilities[~held_out], after.oof.probabilities[~held_out])


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.name}-{getattr(method, 'space', '')}")
def test_each_fold_is_blended_by_its_own_blend_and_the_final_one_has_seen_all_rows(method: Method) -> None:
    members = noisy_members(n_patients=30)
    fit = cross_fit(method, members, seed=3, name="three")
    probabilities = np.stack([m.probabilities for m in members])
    for fold, blend in fit.fold_blends.items():
        rows = fit.oof.folds == fold
        np.testing.assert_allclose(fit.oof.probabilities[rows], blend.apply(probabilities[:, rows]), atol=1e-9)
    everything = method.fit(Rows(probabilities, members[0].targets, members[0].patients), seed=3)
    np.testing.assert_array_equal(fit.blend.apply(probabilities), everything.apply(probabilities))
    assert fit.oof.name == "three"
    assert sorted(fit.fold_blends) == [0, 1, 2]
    assert fit.oof.samples.equals(members[0].samples)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.name}-{getattr(method, 'space', '')}")
def test_the_same_seed_gives_the_same_blend(method: Method) -> None:
    def blended() -> CrossFit:
        return cross_fit(method, noisy_members(n_patients=30), seed=5)

    np.testing.assert_array_equal(blended().oof.probabilities, blended().oof.probabilities)


@pytest.mark.parametrize("method", [NelderMead(), Linear()], ids=lambda method: method.name)
def test_weighing_helps_where_one_member_is_far_better_than_the_others(method: Method) -> None:
    members = noisy_members([0.2, 3.0, 4.0], n_patients=80)
    assert score(cross_fit(method, members).oof) < score(cross_fit(Mean(), members).oof) - 0.1


def test_a_single_member_is_blended_into_itself() -> None:
    members = noisy_members([0.5])
    for method in (Mean(), Mean(space="logits"), Weighted(weights=(3,)), NelderMead()):
        np.testing.assert_allclose(cross_fit(method, members).oof.probabilities, members[0].probabilities, atol=1e-12)


def test_one_fold_is_enough_for_a_mean_and_too_few_to_learn_from() -> None:
    of_three = noisy_members()
    members = [member(m.name, m.probabilities, m.targets, m.patients, n_folds=1) for m in of_three]
    assert len(cross_fit(Mean(), members).fold_blends) == 1
    for method in LEARNING:
        with pytest.raises(DataError, match="at least two folds, found 1"):
            cross_fit(method, members)


def test_progress_counts_the_fits() -> None:
    heard: list[tuple[int, int]] = []
    cross_fit(Mean(), noisy_members(), on_fit=lambda done, total: heard.append((done, total)))
    assert heard == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_every_method_is_tried_here() -> None:
    assert {type(method) for method in METHODS} == set(get_args(get_args(Method)[0]))


def test_a_blend_is_fitted_on_the_chosen_stratum_and_scores_every_row() -> None:
    good_on_low, good_on_high = noisy_members((0.4, 0.4), n_patients=60, seed=5)
    noise = distributions(len(good_on_low), seed=6)
    high = good_on_low.high[:, None]
    good_on_low = replace(good_on_low, probabilities=np.where(high, noise, good_on_low.probabilities))
    good_on_high = replace(good_on_high, probabilities=np.where(high, good_on_high.probabilities, noise))
    on_high = cross_fit(NelderMead(), (good_on_low, good_on_high), fit_on="high")
    on_low = cross_fit(NelderMead(), (good_on_low, good_on_high), fit_on="low")
    assert isinstance(on_high.blend.config, WeightedBlend)
    assert isinstance(on_low.blend.config, WeightedBlend)
    assert on_high.blend.config.weights[1] > 0.9
    assert on_low.blend.config.weights[0] > 0.9
    assert len(on_high.oof) == len(good_on_low)
    only_low = [replace(one, samples=one.samples.assign(stratum="low")) for one in (good_on_low, good_on_high)]
    with pytest.raises(DataError, match="no row of stratum high"):
        cross_fit(NelderMead(), only_low, fit_on="high")
