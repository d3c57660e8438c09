"""Samples that go to another machine are the same samples there."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from hms_search.data.carried import CarriedSamples, StorePlace
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling, Sampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carried")
    write_synthetic(folder / "recordings", n_patients=4, seed=1, workers=1)
    prepare(folder / "recordings", folder / "store", workers=1)
    return folder / "store"


@pytest.mark.parametrize("sampling", [SpectrogramSampling(), EegMiddleSampling()], ids=lambda one: one.name)
def test_carried_samples_are_the_same_without_their_files(prepared: Path, tmp_path: Path, sampling: Sampling) -> None:
    kinds = ("spectrogram",) if isinstance(sampling, SpectrogramSampling) else ("spectrogram", "eeg")
    shutil.copytree(prepared, tmp_path / "store")
    carried = pickle.dumps(CarriedSamples.of(Store.open(tmp_path / "store", sampling, kinds=kinds)), protocol=5)
    shutil.rmtree(tmp_path / "store")
    there, here = pickle.loads(carried).open(), Store.open(prepared, sampling, kinds=kinds)
    assert there.fingerprint == here.fingerprint
    assert there.samples.equals(here.samples)
    for row in range(len(here)):
        for kind, values in here.recording(row).items():
            np.testing.assert_array_equal(there.recording(row)[kind], values)
    np.testing.assert_array_equal(there.histograms(), here.histograms())


def test_a_place_opens_only_where_the_same_store_lies(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "store")
    store = Store.open(tmp_path / "store", EegMiddleSampling())
    place = pickle.loads(pickle.dumps(StorePlace.of(store)))
    found = place.open()
    assert found is not None
    assert found.fingerprint == store.fingerprint
    shutil.rmtree(tmp_path / "store")
    assert place.open() is None
    write_synthetic(tmp_path / "others", n_patients=5, seed=2, workers=1)
    prepare(tmp_path / "others", tmp_path / "store", workers=1)
    assert place.open() is None
