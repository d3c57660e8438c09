"""Many uploads at once to a model's web app, over loopback."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from small_models import write_model
from web_server import serving

from hms_search.data.hms import middle_of, read_microvolts
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.inference.predictor import Predictor

CLIENTS, UPLOADS = 8, 200


@pytest.mark.slow
def test_eight_clients_wait_little_longer_than_a_batch_of_eight_takes(tmp_path: Path, recordings: Path) -> None:
    pipeline = EegPipeline.model_validate({"representation": {"name": "chain_mel"}}).fit([])
    model = write_model(tmp_path / "model", pipeline=pipeline)
    file = next((recordings / "test_eegs").glob("*.parquet"))
    content = file.read_bytes()

    def uploads(address: str, count: int) -> list[float]:
        waited = []
        with httpx.Client(timeout=60) as client:
            for _ in range(count):
                start = time.perf_counter()
                answer = client.post(f"{address}/api/predict", files=[("files", (file.name, content))])
                waited.append(time.perf_counter() - start)
                assert answer.json()["recordings"][0]["error"] is None
        return waited

    def all_uploads(address: str) -> list[float]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            waited = pool.map(uploads, [address] * CLIENTS, [UPLOADS // CLIENTS] * CLIENTS)
            return [seconds for each in waited for seconds in each]

    with serving(tmp_path, model) as (address, process):
        all_uploads(address)  # as allocators fill their pools
        before = process.memory_info().rss
        waited = all_uploads(address)
        grown = process.memory_info().rss - before
        forward = forward_s(Predictor.open(model, device="cpu"), middle_of(read_microvolts(file)))
    assert len(waited) == UPLOADS
    assert np.quantile(waited, 0.95) < 3 * forward
    assert grown < 64 * 2**20


def forward_s(predictor: Predictor, recording: np.ndarray) -> float:
    """Return the seconds of a batch of as many recordings as there are clients, the median of five."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        predictor.predict([recording] * CLIENTS)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
