"""Draws of training rows; most tests use a store of 48 rows whose class is the row number modulo 6."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hms_search.errors import DataError
from hms_search.training.config import TrainingConfig
from hms_search.training.curriculum import Curriculum, smoothed
from hms_search.training.draws import balanced, one_of_each
from hms_search.training.predictions import Predictions
from hms_search.training.results import Slot
from hms_search.training.soft import NoisyStudent, PseudoLabels

ROWS = np.arange(5, 41)


def curriculum(store, *, rows=ROWS, seed=0, predictions=None, **options):
    config = TrainingConfig.model_validate({"epochs": 4, **options})
    return Curriculum(config, store, rows, slot=Slot(3, seed=seed), predictions=predictions or Predictions())


def predicted(rows, seed=1, n=48):
    found = np.full((n, 6), np.nan)
    found[rows] = np.random.default_rng(seed).dirichlet(np.ones(6), len(rows))
    return found


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_defaults_shuffle_as_a_seeded_permutation_and_leave_targets_and_weights_alone(store):
    plain, chance = curriculum(store, seed=9), generator(9)
    for epoch in range(3):
        portion = plain.portion(epoch)
        np.testing.assert_array_equal(portion.rows, ROWS[torch.randperm(36, generator=chance).numpy()])
        np.testing.assert_array_equal(portion.targets, store.targets[portion.rows])
        np.testing.assert_array_equal(portion.weights, np.ones(36))
    assert torch.equal(plain.generator.get_state(), chance.get_state())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampler": "balanced"},
        {"stages": [{"epochs": 1, "rows": "low"}, {"rows": "high"}]},
        {"noisy_student": {"oof": "x", "probability": 0.5}},
        {"weights": {"name": "ranges"}, "label_smoothing": 0.1},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_an_epoch_follows_from_its_number_and_the_state_of_the_generator(store, options):
    soft = Predictions(noisy_student=predicted(ROWS)) if "noisy_student" in options else Predictions()
    store.groups = np.arange(48) // 2
    first, second = (curriculum(store, predictions=soft, **options) for _ in range(2))
    for epoch in range(3):
        first.portion(epoch)
    second.generator.set_state(first.generator.get_state())
    mine, theirs = first.portion(3), second.portion(3)
    for name in ("rows", "targets", "weights"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_another_seed_draws_otherwise(store):
    assert curriculum(store).portion(0).rows.tolist() != curriculum(store, seed=1).portion(0).rows.tolist()


def test_stages_change_the_rows_on_their_epoch(store):
    staged = curriculum(store, stages=[{"epochs": 1, "rows": "low"}, {"epochs": 2}, {"rows": "high", "min_votes": 12}])
    drawn = [set(staged.portion(epoch).rows.tolist()) for epoch in range(4)]
    high = {row for row in ROWS.tolist() if row % 4 == 0}
    assert drawn == [set(ROWS.tolist()) - high, set(ROWS.tolist()), set(ROWS.tolist()), high]


def test_a_stage_without_rows_is_named(store):
    with pytest.raises(DataError, match=r"stages\.1 \(rows all, min_votes 13\) has none of the 36 .* of fold 3"):
        curriculum(store, stages=[{"epochs": 1}, {"min_votes": 13}])


def test_a_stage_may_weigh_rows_its_own_way(store):
    staged = curriculum(
        store, weights={"name": "low"}, stages=[{"epochs": 1, "weights": {"name": "linear"}}, {"epochs": 3}]
    )
    first, second = staged.portion(0), staged.portion(1)
    np.testing.assert_allclose(first.weights, store.votes[first.rows].sum(axis=1) / 20)
    np.testing.assert_allclose(second.weights, np.where(store.high[second.rows], 1, 0.25))


def test_weights_fade_with_the_epochs_of_all_stages(store):
    fading = curriculum(store, weights={"name": "ranges"}, stages=[{"epochs": 2}, {}])
    low = [portion.weights[~store.high[portion.rows]] for portion in map(fading.portion, range(4))]
    np.testing.assert_allclose([weights.mean() for weights in low], [0.5, 0.35, 0.2, 0.05])


@given(classes=st.lists(st.integers(0, 5), min_size=1, max_size=60).map(np.array), seed=st.integers(0, 1000))
def test_balanced_draws_each_class_equally_often(classes, seed):
    drawn = classes[balanced(classes, generator(seed))]
    assert len(drawn) == len(classes)
    counts = np.array([(drawn == name).sum() for name in np.unique(classes)])
    assert counts.max() - counts.min() <= 1


def test_balanced_gives_every_row_of_a_class_the_same_chance_and_mixes_the_classes():
    classes, chance = np.array([0] * 9 + [1]), generator()
    drawn = np.stack([balanced(classes, chance) for _ in range(2000)])
    share = np.bincount(drawn.ravel(), minlength=10) / drawn.size
    np.testing.assert_allclose(share, [*[0.5 / 9] * 9, 0.5], atol=0.01)
    np.testing.assert_allclose((classes[drawn] == 1).mean(axis=0), 0.5, atol=0.05)


def test_a_balanced_epoch_is_as_long_as_a_plain_one_and_targets_follow_the_rows(store):
    rows = np.concatenate([np.arange(0, 48, 6), [1, 2, 3]])  # eight of the first class, one each of three others
    portion = curriculum(store, rows=rows, sampler="balanced").portion(0)
    assert len(portion) == len(rows)
    assert np.bincount(portion.rows % 6).max() == 3
    assert set(portion.rows.tolist()) <= set(rows.tolist())
    np.testing.assert_array_equal(portion.targets, store.targets[portion.rows])


@given(groups=st.lists(st.integers(0, 8), max_size=40).map(lambda g: np.array(g, dtype=int)), seed=st.integers(0, 99))
def test_one_of_each_group_is_drawn(groups, seed):
    places = one_of_each(groups, generator(seed))
    assert sorted(groups[places].tolist()) == sorted(set(groups.tolist()))


def test_every_row_of_a_group_is_equally_likely():
    groups, chance = np.array([7, 3, 7, 7, 5, 3]), generator()
    counts = np.bincount(np.concatenate([one_of_each(groups, chance) for _ in range(3000)]), minlength=6) / 3000
    np.testing.assert_allclose(counts, [1 / 3, 1 / 2, 1 / 3, 1 / 3, 1, 1 / 2], atol=0.04)


def test_an_epoch_sees_one_window_of_each_eeg_and_epochs_see_them_all(store):
    store.groups = np.arange(48) // 4
    windows = curriculum(store, rows=np.arange(8, 40), epochs=30)
    seen = [windows.portion(epoch).rows for epoch in range(30)]
    for rows in seen:
        assert sorted((rows // 4).tolist()) == list(range(2, 10))
    assert set(np.concatenate(seen).tolist()) == set(range(8, 40))


def test_a_stages_rows_are_chosen_before_one_of_each_group_is(store):
    store.groups = np.arange(48) // 4  # one row of each four is HIGH
    high = curriculum(store, rows=np.arange(8, 40), stages=[{"rows": "high"}])
    assert sorted(high.portion(0).rows.tolist()) == list(range(8, 40, 4))


@given(e=st.floats(0, 1, exclude_max=True))
def test_smoothing_mixes_with_the_uniform_distribution(e):
    targets = np.random.default_rng(0).dirichlet(np.ones(6), 5)
    found = smoothed(targets, e)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, (1 - e) * targets + e / 6)


def test_no_smoothing_changes_no_bit():
    targets = np.random.default_rng(0).dirichlet(np.ones(6), 1000)
    np.testing.assert_array_equal(smoothed(targets, 0.0), targets)


def test_a_noisy_student_takes_the_share_of_predictions_and_others_in_each_epoch(store):
    soft = predicted(ROWS)
    student = curriculum(
        store, epochs=200, noisy_student=NoisyStudent(oof="x"), predictions=Predictions(noisy_student=soft)
    )
    taken = []
    for portion in map(student.portion, range(200)):
        replaced = (portion.targets == soft[portion.rows]).all(axis=1)
        np.testing.assert_array_equal(portion.targets[~replaced], store.targets[portion.rows[~replaced]])
        taken.append(portion.rows[replaced])
    assert np.mean([len(rows) / 36 for rows in taken]) == pytest.approx(0.15, abs=0.015)
    assert set(np.concatenate(taken).tolist()) == set(ROWS.tolist())
    assert store.targets[ROWS].max() == pytest.approx(0.9 + 0.1 / 6)  # the Store's own targets stay


@pytest.mark.parametrize("weight", [0.9, 1.0])
def test_pseudo_labels_mix_votes_and_predictions_for_low_rows_only(store, weight):
    low = ROWS[~store.high[ROWS]]
    soft = predicted(low)
    labels = PseudoLabels(oof="x", weight=weight)
    portion = curriculum(store, pseudo_labels=labels, predictions=Predictions(pseudo_labels=soft)).portion(0)
    high = store.high[portion.rows]
    np.testing.assert_array_equal(portion.targets[high], store.targets[portion.rows[high]])
    rows = portion.rows[~high]
    expected = (1 - weight) * store.targets[rows] + weight * soft[rows]
    np.testing.assert_allclose(portion.targets[~high], expected)
    np.testing.assert_allclose(portion.targets.sum(axis=1), 1)


def test_predictions_are_smoothed_as_votes_are(store):
    soft = predicted(ROWS)
    student = {"noisy_student": NoisyStudent(oof="x", probability=1.0), "label_smoothing": 0.3}
    portion = curriculum(store, predictions=Predictions(noisy_student=soft), **student).portion(0)
    np.testing.assert_allclose(portion.targets, 0.7 * soft[portion.rows] + 0.05)


def test_what_a_configuration_wants_predicted_must_be_there(store):
    with pytest.raises(ValueError, match="expected predictions for exactly what"):
        curriculum(store, noisy_student=NoisyStudent(oof="x"))
    with pytest.raises(ValueError, match="expected predictions for exactly what"):
        curriculum(store, predictions=Predictions(pseudo_labels=predicted(ROWS)))


def test_the_digest_names_the_predictions_and_is_empty_without():
    soft = predicted(ROWS)
    digests = [
        Predictions(noisy_student=soft).digest,
        Predictions(pseudo_labels=soft).digest,
        Predictions(noisy_student=predicted(ROWS, seed=2)).digest,
    ]
    assert len({*digests, ""}) == 4
    assert Predictions(noisy_student=soft.copy()).digest == digests[0]
    assert Predictions().digest == ""


@pytest.mark.parametrize(
    ("options", "optimistic"),
    [
        ({}, False),
        ({"select": "best"}, True),
        ({"noisy_student": {"oof": "x"}}, False),
        ({"noisy_student": {"oof": "x", "optimistic": True}}, True),
        ({"pseudo_labels": {"oof": "x", "optimistic": True}}, True),
    ],
)
def test_training_that_the_validated_rows_may_have_a_part_in_is_optimistic(options, optimistic):
    assert TrainingConfig.model_validate(options).optimistic is optimistic
