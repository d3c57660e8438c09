import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hms_search.data.baked import bake, baked_part
from hms_search.data.fitting import fit_pipeline
from hms_search.data.prepare import prepare
from hms_search.data.progress import Progress
from hms_search.data.sampling import LabelSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.eeg.both_pipeline import BothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.errors import DataError

CPU = torch.device("cpu")
PIPELINE = EegPipeline.model_validate(
    {
        "filters": [{"name": "band_pass", "low_hz": 0.5, "high_hz": 20}],
        "normalise": {"name": "datawide"},
        "resize": [64, 32],
    }
)
PART = baked_part(PIPELINE)
assert PART is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("baked")
    write_synthetic(root / "data", n_patients=4, seed=0, workers=1)
    prepare(root / "data", root / "store", workers=1)
    return root / "store"


def open_store(folder: Path, *, baked: EegPipeline | None = None) -> Store:
    return Store.open(folder, LabelSampling(), kinds=("eeg", "spectrogram"), baked=baked)


def inputs(store: Store, rows: np.ndarray, pipeline: EegPipeline = PIPELINE) -> torch.Tensor:
    fitted = fit_pipeline(pipeline, store, np.arange(len(store)), device=CPU)
    eeg = torch.from_numpy(np.stack([store.recording(row)["eeg"] for row in rows.tolist()]))
    x = fitted.inputs({"eeg": eeg})
    assert isinstance(x, torch.Tensor)
    return x


def test_baked_images_are_those_computed_anew_to_the_precision_of_half_floats(folder: Path) -> None:
    seen: list[Progress] = []
    file = bake(open_store(folder), PART, device=CPU, on_progress=seen.append)
    assert seen[-1].done == seen[-1].total == len(open_store(folder))
    assert file.stat().st_size == pytest.approx(seen[-1].total_bytes, abs=256)
    baked = open_store(folder, baked=PART)
    rows = np.arange(0, len(baked), 7)
    assert baked.recording(0)["eeg"].shape == (1, 512, 256)
    torch.testing.assert_close(inputs(baked, rows), inputs(open_store(folder), rows), atol=2e-3, rtol=0)
    np.testing.assert_array_equal(baked.recording(3)["spectrogram"], open_store(folder).spectrogram(3))


def test_images_are_baked_once_for_every_normalisation_and_size(folder: Path) -> None:
    file = bake(open_store(folder), PART, device=CPU)
    written = file.stat().st_mtime_ns
    other = PIPELINE.model_copy(update={"resize": (32, 32)})
    assert baked_part(other) == PART
    assert bake(open_store(folder), PART, device=CPU) == file
    assert file.stat().st_mtime_ns == written
    assert inputs(open_store(folder, baked=PART), np.arange(2), other).shape == (2, 1, 32, 32)


def test_a_store_with_baked_images_travels_to_another_process_and_is_another_store_than_without(folder: Path) -> None:
    bake(open_store(folder), PART, device=CPU)
    baked = open_store(folder, baked=PART)
    again = pickle.loads(pickle.dumps(baked))
    np.testing.assert_array_equal(again.recording(5)["eeg"], baked.recording(5)["eeg"])
    assert again.fingerprint == baked.fingerprint != open_store(folder).fingerprint


def test_images_that_were_not_baked_are_an_error_that_says_how(folder: Path) -> None:
    other = baked_part(EegPipeline.model_validate({"clip_uv": 99}))
    with pytest.raises(DataError, match="hms-search data prepare --bake"):
        open_store(folder, baked=other)


def test_an_image_beyond_half_precision_is_refused_and_leaves_no_file(folder: Path) -> None:
    wide = {"representation": {"name": "waveform"}, "scale_uv": 1e-4}
    part = baked_part(EegPipeline.model_validate(wide))
    assert part is not None
    before = set((folder / "baked").iterdir()) if (folder / "baked").is_dir() else set()
    with pytest.raises(DataError, match=r"beyond float16's range of 65504 .* pipeline.scale_uv"):
        bake(open_store(folder), part, device=CPU)
    assert set((folder / "baked").iterdir()) == before


def test_of_both_sources_the_eeg_is_baked_and_of_spectrograms_nothing() -> None:
    assert baked_part(BothPipeline(eeg=PIPELINE)) == PART
    assert baked_part(SpectrogramPipeline()) is None
