"""Images of seizures in batches: the pipeline's, in the order of the rows, made once."""

import numpy as np
import pytest
import torch

from hms_search.data.batches import Batches, InOrder
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.synthetic.seizure_types import write_synthetic_seizures
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline

PIPELINE = FittedFftPipeline(config=FftPipeline())


@pytest.fixture(scope="module")
def seizures(tmp_path_factory: pytest.TempPathFactory) -> SeizureTypes:
    root = tmp_path_factory.mktemp("seizures") / "data"
    write_synthetic_seizures(root, n_patients=8, seed=0)
    return SeizureTypes.open(root)


def test_a_batch_holds_the_pipelines_images_in_the_order_of_its_rows(seizures: SeizureTypes) -> None:
    rows = np.random.default_rng(0).permutation(len(seizures))[:20]
    draw = InOrder(rows, seizures.targets)
    batches = Batches(seizures, draw, PIPELINE, batch_size=8, device=torch.device("cpu"))
    for _ in range(2):
        found = list(batches)
        np.testing.assert_array_equal(np.concatenate([batch.rows for batch in found]), rows)
        x, target = torch.cat([batch.x for batch in found]), torch.cat([batch.target for batch in found])
        for row, image, one in zip(rows, x, target, strict=True):
            samples = torch.from_numpy(seizures.recording(int(row))["fft"])[None]
            torch.testing.assert_close(image, PIPELINE.inputs({"fft": samples})[0])
            assert one.argmax() == seizures.targets[row].argmax()
    batches.close()


def test_no_recording_is_read_twice(seizures: SeizureTypes, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = SeizureTypes.recording
    monkeypatch.setattr(SeizureTypes, "recording", lambda self, row: (read.append(row), original(self, row))[1])
    draw = InOrder(np.arange(10), seizures.targets)
    batches = Batches(seizures, draw, PIPELINE, batch_size=4, device=torch.device("cpu"))
    passes = [torch.cat([batch.x for batch in batches]) for _ in range(3)]
    batches.close()
    assert sorted(read) == list(range(10))
    assert torch.equal(passes[0], passes[2])
