"""Which prepared recordings and baked images nobody reads."""

from pathlib import Path

import numpy as np
import optuna
import pytest

from hms_search.data.baked import baked_part
from hms_search.data.prepare import prepare
from hms_search.data.store import Store, baked_file
from hms_search.data.synthetic import write_synthetic
from hms_search.search.contract import contract_of, open_study
from hms_search.search.places import Places
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.study_attributes import CONFIG_KEY
from hms_search.search.unused_data import unused_data

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_synthetic(tmp_path / "recordings", n_patients=4, seed=1, workers=1)
    return tmp_path / "recordings"


@pytest.fixture
def places(tmp_path: Path, root: Path) -> Places:
    """A working directory with the prepared recordings, and others that nobody knows."""
    places = Places(tmp_path / "mlruns")
    prepare(root, places.store(root), workers=1)
    (places.root / "stores" / "older-0123456789ab").mkdir()
    return places


def stored(study: StudyConfig) -> optuna.storages.BaseStorage:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name=study.name, storage=storage).set_user_attr(CONFIG_KEY, study.to_dict())
    return storage


def test_recordings_of_a_study_stay_and_those_of_none_may_go(places: Places, root: Path) -> None:
    study = read_study(STUDIES / "quickstart.yaml", (f"data.root={root}",))
    found = {held.path: held.may_go for held in unused_data(stored(study), places)}
    assert found == {places.store(root): False, places.root / "stores" / "older-0123456789ab": True}
    assert all(held.may_go for held in unused_data(optuna.storages.InMemoryStorage(), places))


def test_images_that_a_study_reads_stay_and_older_ones_may_go(places: Places, root: Path) -> None:
    study = read_study(STUDIES / "deotte_mel.yaml", (f"data.root={root}", "data.baked=true"))
    pipeline = study.space.base.pipeline
    part = baked_part(pipeline)
    assert part is not None
    store = Store.open(places.store(root), study.data.sampling, kinds=pipeline.kinds)
    read = baked_file(store.path, store.fingerprint, part)
    read.parent.mkdir()
    for file in (read, read.with_name("0123456789ab.npy")):
        np.save(file, np.zeros(1))
    found = {held.path.name: (held.may_go, held.reason) for held in unused_data(stored(study), places)}
    assert found[read.name] == (False, "study deotte_mel")
    assert found["0123456789ab.npy"] == (True, "no study reads these images")


def test_the_recordings_that_a_worker_read_from_another_folder_stay(places: Places, root: Path, tmp_path: Path) -> None:
    for name, settings in (("quickstart", ()), ("deotte_mel", ("data.baked=true",))):
        study = read_study(STUDIES / f"{name}.yaml", (f"data.root={tmp_path / 'on_the_server'}", *settings))
        pipeline = study.space.base.pipeline
        part = baked_part(pipeline) if study.data.baked else None
        store = Store.open(places.store(root), study.data.sampling, kinds=pipeline.kinds)
        if part is not None:
            assert part.shape.size is not None
            read = baked_file(store.path, store.fingerprint, part)
            read.parent.mkdir()
            np.save(read, np.zeros((len(store), part.shape.channels, *part.shape.size), np.float16))
            store = Store.open(places.store(root), study.data.sampling, kinds=pipeline.kinds, baked=part)
        storage = optuna.storages.InMemoryStorage()
        open_study(study, contract_of(study, data=store.fingerprint, folds="f" * 12), storage)
        found = {held.path.name: held.may_go for held in unused_data(storage, places)}
        assert found == {
            places.store(root).name: False,
            "older-0123456789ab": True,
            **({read.name: False} if part is not None else {}),
        }


def test_recordings_of_another_content_than_a_study_was_run_on_may_go(places: Places, tmp_path: Path) -> None:
    study = read_study(STUDIES / "quickstart.yaml", (f"data.root={tmp_path / 'elsewhere'}",))
    storage = optuna.storages.InMemoryStorage()
    open_study(study, contract_of(study, data="d" * 12, folds="f" * 12), storage)
    assert all(held.may_go for held in unused_data(storage, places))
