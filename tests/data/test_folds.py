"""Fold plans."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hms_search.data.folds import Folds, GroupedFolds, RandomFolds, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.errors import DataError


@dataclass
class Samples:
    """What plan_folds reads of a Store."""

    patients: np.ndarray
    samples: pd.DataFrame
    high: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        return np.ones(len(self), dtype=bool)

    def __len__(self) -> int:
        return len(self.patients)


def samples_of(patients, consensus=None, high=None):
    n = len(patients)
    table = pd.DataFrame({"sample_id": np.arange(n), "consensus": np.zeros(n, int) if consensus is None else consensus})
    return Samples(np.asarray(patients), table, np.zeros(n, bool) if high is None else np.asarray(high))


@st.composite
def stores(draw):
    n_patients = draw(st.integers(6, 25))
    patients = [*range(n_patients), *draw(st.lists(st.integers(0, n_patients - 1), max_size=40))]
    n = len(patients)
    consensus = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    high = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return samples_of(patients, consensus, high)


@given(store=stores(), n_folds=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_a_patient_is_never_on_both_sides_of_a_fold(store, n_folds, seed):
    plan = plan_folds(GroupedFolds(n_folds=n_folds, seed=seed), store)
    assert plan.shared_patients == 0
    validated = []
    for fold in plan.use:
        train, validation = plan.split(fold)
        assert not set(store.patients[train]) & set(store.patients[validation])
        assert sorted([*train, *validation]) == list(range(len(store)))
        assert len(train)
        assert len(validation)
        validated += list(validation)
    assert sorted(validated) == list(range(len(store)))


@given(store=stores(), n_folds=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_folds(store, n_folds, seed):
    for folds in (GroupedFolds(n_folds=n_folds, seed=seed), RandomFolds(n_folds=n_folds, seed=seed)):
        first, again = plan_folds(folds, store), plan_folds(folds, store)
        assert np.array_equal(first.assignment, again.assignment)
        assert first.fingerprint == again.fingerprint


@given(n_samples=st.integers(5, 80), n_folds=st.integers(2, 5), seed=st.integers(0, 1000))
def test_random_folds_are_equal_slices_of_all_samples(n_samples, n_folds, seed):
    store = samples_of(np.arange(n_samples))
    plan = plan_folds(RandomFolds(n_folds=n_folds, seed=seed), store)
    sizes = np.bincount(plan.assignment, minlength=n_folds)
    assert sizes.sum() == n_samples
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("seed", range(10))
def test_sixteen_samples_of_sixteen_patients_make_two_even_folds(seed):
    random = np.random.default_rng(seed)
    store = samples_of(np.arange(16), random.integers(0, 6, 16), random.random(16) < 0.5)
    sizes = np.bincount(plan_folds(GroupedFolds(n_folds=2, seed=seed), store).assignment)
    assert abs(sizes[0] - sizes[1]) <= 2


def test_classes_and_strata_are_spread_evenly_over_patients_of_unequal_size():
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(400), random.integers(1, 12, 400))
    consensus = random.integers(0, 6, 400)[patients]
    high = (random.random(400) < 0.3)[patients]
    plan = plan_folds(GroupedFolds(n_folds=5), samples_of(patients, consensus, high))
    for stratum in range(12):
        share = np.bincount(plan.assignment[2 * consensus + high == stratum], minlength=5)
        assert share.max() - share.min() <= 12  # one patient's samples
    sizes = np.bincount(plan.assignment)
    assert sizes.max() - sizes.min() <= 0.05 * len(patients)


def test_another_seed_gives_other_folds():
    store = samples_of(np.arange(40))
    for kind in (GroupedFolds, RandomFolds):
        assert len({plan_folds(kind(seed=seed), store).fingerprint for seed in range(5)}) == 5


def test_the_fingerprint_depends_on_the_samples():
    store = samples_of(np.arange(40))
    before = plan_folds(GroupedFolds(), store).fingerprint
    store.samples["sample_id"] += 1
    assert plan_folds(GroupedFolds(), store).fingerprint != before


def test_random_folds_warn_how_many_patients_leak(caplog):
    store = samples_of(np.repeat(np.arange(10), 8))
    with caplog.at_level(logging.WARNING):
        plan = plan_folds(RandomFolds(n_folds=2), store)
    assert plan.shared_patients == 10
    assert "10 patients have samples in more than one fold" in caplog.text


def test_grouped_folds_do_not_warn(caplog):
    store = samples_of(np.repeat(np.arange(10), 8))
    plan_folds(GroupedFolds(), store)
    assert caplog.text == ""


def test_fewer_patients_than_folds_is_an_error():
    store = samples_of([1, 1, 1, 2, 2])
    with pytest.raises(DataError, match="n_folds is 3, the samples are of 2 patients"):
        plan_folds(GroupedFolds(n_folds=3), store)
    with pytest.raises(DataError, match="n_folds is 6, but there are only 5 samples"):
        plan_folds(RandomFolds(n_folds=6), store)


def test_the_folds_in_use_are_a_choice_of_the_plan():
    store = samples_of(np.arange(40))
    assert plan_folds(GroupedFolds(), store).use == (0, 1, 2, 3, 4)
    plan = plan_folds(GroupedFolds(use=(3, 0)), store)
    assert plan.use == (3, 0)
    assert plan.n_folds == 5
    assert plan.fingerprint == plan_folds(GroupedFolds(), store).fingerprint


@pytest.mark.parametrize("name", ["grouped", "random"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use": [2], "n_folds": 2}, "expected folds 0 to 1"),
        ({"use": [-1]}, "expected folds 0 to 4"),
        ({"use": [1, 1]}, "expected different folds"),
        ({"use": []}, "at least one"),
        ({"n_folds": 1}, "greater than or equal to 2"),
        ({"folds": 2}, "Extra inputs"),
    ],
)
def test_impossible_folds_are_refused_when_they_are_written_down(name, fields, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Folds).validate_python({"name": name, **fields})


@pytest.mark.data
@pytest.mark.parametrize(("sampling", "source"), [(SpectrogramSampling(), "spectrogram"), (EegMiddleSampling(), "eeg")])
def test_the_real_recordings_make_even_folds(shared_data, tmp_path, sampling, source):
    prepare(shared_data / "iiic", tmp_path, workers=1)
    store = Store.open(tmp_path, sampling, kinds=(source,))
    for n_folds in (2, 5):
        sizes = np.bincount(plan_folds(GroupedFolds(n_folds=n_folds), store).assignment)
        assert sizes.max() - sizes.min() <= 2
