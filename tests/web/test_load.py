"""Many uploads at once to a model's endpoint, over loopback; how long they take is measured in ``benchmarks``."""

import http.client
import json
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from web_files import microvolts, write_parquet

from hms_search.data.hms import read_microvolts
from hms_search.inference.predictor import Predictor
from hms_search.web.answers import Respondent
from hms_search.web.app import build_endpoint

CLIENTS, UPLOADS, BOUNDARY = 8, 200, "x-test-x"


@contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """Serve an app from a thread; yields its port."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def body(file: Path) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n\r\n'
    return head.encode() + file.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def test_200_uploads_from_eight_clients_get_their_own_answers_and_leave_nothing(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    eeg = microvolts(50)
    files = [write_parquet(tmp_path / f"{n}.parquet", "eeg", np.roll(eeg, 500 * n, axis=0)) for n in range(CLIENTS)]
    predictor = Predictor.open(models["eeg"], device="cpu")
    expected = predictor.predict([read_microvolts(file) for file in files]).probabilities
    assert np.ptp(expected, axis=0).max() > 0.01, "recordings that all come out the same"

    def send(client: int) -> float:
        """Return how far the worst of a client's answers is from what was expected."""
        connection, worst = http.client.HTTPConnection("127.0.0.1", port), 0.0
        for number in range(client, UPLOADS, CLIENTS):
            which = (number // CLIENTS + client) % len(files)
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            connection.request("POST", "/api/predict", bodies[which], headers)
            (answer,) = json.loads(connection.getresponse().read())["recordings"]
            assert (answer["recording"], answer["error"]) == (files[which].name, None)
            found = np.array(list(answer["probabilities"].values()))
            worst = max(worst, np.abs(found - expected[which]).max())
        connection.close()
        return worst

    bodies = [body(file) for file in files]
    with listening(build_endpoint(Respondent(predictor))) as port, ThreadPoolExecutor(CLIENTS) as pool:
        assert max(pool.map(send, range(CLIENTS))) < 1e-6
    assert list(temporary.iterdir()) == []
