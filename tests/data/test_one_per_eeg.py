"""Sampling rules that train on one random window of each EEG."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hms_search.data.folds import NOWHERE, FoldPlan, GroupedFolds, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling, LabelSampling, MaxVoteSampling, SpectrogramSampling
from hms_search.data.selection import groups_of
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic

ONE_PER_EEG = [LabelSampling(one_per_eeg=True), MaxVoteSampling(one_per_eeg=True, min_votes=1, spacing_s=2)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one-per-eeg")
    write_synthetic(folder / "data", n_patients=10, seed=4, workers=1)
    prepare(folder / "data", folder / "store", workers=1)
    return folder / "store"


def lines(eegs, starts, ids=None):
    table = {"eeg_id": pd.array(eegs, dtype="Int64"), "eeg_start": starts, "sample_id": ids or range(len(eegs))}
    return pd.DataFrame(table)


def test_the_windows_of_an_eeg_are_a_group_and_the_first_in_time_is_scored():
    table = lines([7, 3, 7, 7, 3], [400, 0, 200, 600, 200])
    groups, scored = groups_of(LabelSampling(one_per_eeg=True), table)
    assert groups.tolist() == [2, 1, 2, 2, 1]
    assert scored.tolist() == [False, True, True, False, False]


def test_of_windows_that_start_together_the_lowest_id_is_scored():
    _, scored = groups_of(LabelSampling(one_per_eeg=True), lines([7, 7, 7], [0, 0, 0], ids=[12, 11, 13]))
    assert scored.tolist() == [False, True, False]


def test_a_sample_without_an_eeg_is_a_group_of_its_own():
    groups, scored = groups_of(LabelSampling(one_per_eeg=True), lines([None, 3, None, 3], [0, 0, 0, 5]))
    assert groups.tolist() == [0, 1, 2, 1]
    assert scored.tolist() == [True, True, True, False]


@pytest.mark.parametrize("sampling", [SpectrogramSampling(), EegMiddleSampling(), LabelSampling(), MaxVoteSampling()])
def test_without_the_option_each_sample_is_its_own_group_and_scored(sampling):
    groups, scored = groups_of(sampling, lines([7, 7, 3], [0, 5, 9]))
    assert groups.tolist() == [0, 1, 2]
    assert scored.all()


@pytest.mark.parametrize("sampling", ONE_PER_EEG, ids=lambda sampling: sampling.name)
def test_a_fold_trains_on_all_windows_and_is_validated_on_one_of_each_eeg(prepared, sampling):
    store = Store.open(prepared, sampling)
    plan = plan_folds(GroupedFolds(n_folds=2), store)
    every = Store.open(prepared, sampling.model_copy(update={"one_per_eeg": False}))
    assert store.sample_ids.tolist() == every.sample_ids.tolist()
    assert store.fingerprint != every.fingerprint
    eegs = store.samples["eeg_id"].to_numpy()
    assert len(np.unique(eegs)) < len(eegs)
    scored = []
    for fold in plan.use:
        training, validation = plan.split(fold)
        assert training.tolist() == np.flatnonzero(plan.assignment != fold).tolist()
        assert not np.isin(store.patients[validation], store.patients[training]).any()
        scored += eegs[validation].tolist()
    assert sorted(scored) == sorted(set(eegs))


def test_a_plan_without_a_fold_never_touches_its_samples(prepared):
    store = Store.open(prepared, LabelSampling(one_per_eeg=True))
    plan: FoldPlan = plan_folds(GroupedFolds(n_folds=3), store)
    others = plan.without(1)
    assert others.use == (0, 2)
    assert len({plan.fingerprint, others.fingerprint, plan.without(0).fingerprint}) == 3
    held_out = set(np.flatnonzero(plan.assignment == 1))
    assert set(np.flatnonzero(others.assignment == NOWHERE)) == held_out
    for fold in others.use:
        training, validation = others.split(fold)
        assert not held_out & {*training, *validation}
        assert {*training, *validation} == set(range(len(store))) - held_out
        assert not set(training) & set(validation)
