"""A Store that is not as it was written is named, with what to do, and nothing planted in it is executed."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hms_search.data.prepare import prepare
from hms_search.data.sampling import SpectrogramSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.errors import DataError


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings") / "synthetic"
    write_synthetic(root, n_patients=4, seed=2, workers=1)
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    prepare(recordings, folder, workers=1)
    return folder


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.mkdir, (self.target,)


def opened(path: Path) -> np.ndarray:
    store = Store.open(path, SpectrogramSampling())
    first = np.nan_to_num(store.spectrogram(0).astype(np.float64))
    return np.append(store.histograms().sum(axis=0), first.sum())


def damages(content: bytes, bomb: Bomb) -> Iterator[tuple[str, bytes]]:
    yield "cut", content[: len(content) // 2]
    yield "empty", b""
    yield "other", bytes(reversed(content))
    yield "pickle", pickle.dumps(bomb)


@pytest.mark.parametrize("name", ["index.parquet", "recordings.parquet", "counts.npy", "shards/spectrogram-0000.f16"])
@pytest.mark.parametrize("kind", ["cut", "empty", "other", "pickle"])
def test_a_damaged_file_of_a_store_is_named(whole: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "store"
    shutil.copytree(whole, path)
    content = (path / name).read_bytes()
    damaged = dict(damages(content, Bomb(tmp_path / "exploded")))[kind]
    (path / name).write_bytes(damaged)
    if kind == "other" and name.endswith(".f16"):  # as long as it was: numbers are numbers
        return
    with pytest.raises(DataError) as caught:
        opened(path)
    said = str(caught.value)
    assert said.startswith(f"the prepared recordings {path} are damaged: ")
    assert "remove that folder: the same command prepares them again" in said
    assert "\n" not in said
    assert not (tmp_path / "exploded").exists()


def test_objects_in_the_place_of_counts_are_not_unpickled(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    shutil.copytree(whole, path)
    objects = np.empty(4, dtype=object)
    objects[:] = Bomb(tmp_path / "exploded")
    for file in (path / "counts.npy", *path.glob("shards/*.npz")):
        with file.open("wb") as planted:
            np.save(planted, objects, allow_pickle=True)
    with pytest.raises(DataError, match="are damaged"):
        opened(path)
    assert not (tmp_path / "exploded").exists()


def test_a_store_that_was_removed_is_prepared_again_to_the_same(whole: Path, recordings: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    shutil.copytree(whole, path)
    (path / "recordings.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="are damaged"):
        opened(path)
    shutil.rmtree(path)
    prepare(recordings, path, workers=1)
    np.testing.assert_array_equal(opened(path), opened(whole))
