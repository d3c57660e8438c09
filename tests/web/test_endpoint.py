import base64
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient
from web_files import microvolts, write_parquet

from hms_search.data.labels import CLASSES
from hms_search.errors import ConfigError
from hms_search.inference.predictor import Predictor
from hms_search.web.answers import Respondent
from hms_search.web.app import build_endpoint
from hms_search.web.guards import credentials_of
from hms_search.web.limits import Limits

HERE = "http://127.0.0.1"
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture
def client(models: dict[str, Path]) -> TestClient:
    """The app of the EEG model, which takes few and small files."""
    limits = Limits(files=3, file_bytes=2**21, total_bytes=2**22)
    return TestClient(build_endpoint(Respondent(Predictor.open(models["eeg"], device="cpu"), limits)), base_url=HERE)


def sent(**files: bytes) -> Files:
    return [("files", (name.replace("_", "."), content)) for name, content in files.items()]


def test_the_endpoint_says_what_the_predictor_says_window_by_window(
    client: TestClient, models: dict[str, Path], tmp_path: Path
) -> None:
    eeg = microvolts(60)
    file = write_parquet(tmp_path / "7.parquet", "eeg", eeg)
    answer = client.post("/api/predict", files=sent(a_parquet=file.read_bytes(), b_edf=b"no EDF")).json()
    first, second = answer["recordings"]
    windows = [eeg[:10_000].astype(np.float16), eeg[2_000:].astype(np.float16)]
    prediction = Predictor.open(models["eeg"], device="cpu").predict(windows)
    assert answer["classes"] == list(CLASSES)
    assert [window["start_s"] for window in first["windows"]] == [0, 10]
    for window, expected in zip(first["windows"], prediction.probabilities, strict=True):
        np.testing.assert_allclose(list(window["probabilities"].values()), expected, atol=1e-6)
    np.testing.assert_allclose(list(first["probabilities"].values()), prediction.probabilities.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(list(first["spread"].values()), prediction.members.mean(axis=1).std(axis=0), atol=1e-6)
    assert second["probabilities"] is None
    assert second["error"].startswith("b.edf: expected EDF, BDF, parquet")


def test_openapi_describes_the_answer(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    answer = client.post("/api/predict", files=sent(a_npy=_npy(microvolts(50)))).json()
    schema = {"$ref": "#/components/schemas/PredictResponse", "components": document["components"]}
    Draft202012Validator(schema).validate(answer)
    assert answer["recordings"][0]["error"] is None
    assert list(document["paths"]) == ["/api/predict"]


def test_hostile_files_are_refused_in_one_line_and_nothing_stays(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pickled = _npy(np.array([{"a": 1}], dtype=object))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(10**7))
    header = b"0".ljust(8) + b" " * 248
    for content in (pickled, bomb.getvalue(), header, b"", b"PAR1PAR1"):
        files: Files = [("files", ("../../../<b>x</b>.npy", content))]
        (answer,) = client.post("/api/predict", files=files).json()["recordings"]
        assert answer["error"]
        assert "\n" not in answer["error"]
        assert answer["recording"] == "b>.npy"
        assert list(tmp_path.iterdir()) == []


def test_too_many_files_and_too_large_a_request_are_refused(client: TestClient) -> None:
    many = client.post("/api/predict", files=[("files", ("a.npy", b"1"))] * 4)
    assert (many.status_code, "expected 1 to 3 files" in many.json()["detail"]) == (422, True)
    assert client.post("/api/predict", content=b"", headers={"Content-Length": str(2**31)}).status_code == 413
    large = client.post("/api/predict", files=sent(a_npy=bytes(2**21 + 1)))
    assert "at most 2 MiB" in large.json()["recordings"][0]["error"]
    assert client.post("/api/predict").status_code == 422


def test_a_body_that_is_larger_than_it_may_be_ends_unread(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(2**16)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/predict", content=endless(), headers=headers).status_code >= 400


def test_nobody_without_the_password_gets_anything(respondent: Respondent) -> None:
    client, path = TestClient(build_endpoint(respondent, auth="ada:love:lace"), base_url=HERE), "/openapi.json"
    for given in ("", "ada:love", "ada:love:lace!", "bob:love:lace"):
        answer = client.get(path, headers=_basic(given))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert client.get(path, headers={"Authorization": "Basic ***"}).status_code == 401
    assert client.get(path, headers=_basic("ada:love:lace")).status_code == 200
    assert client.post("/api/predict", files=sent(a_npy=b"")).status_code == 401


def test_another_name_for_this_machine_is_not_answered(client: TestClient) -> None:
    assert client.get("/openapi.json", headers={"Host": "evil.example"}).status_code == 400


def test_a_name_that_the_app_was_given_is_answered_and_no_other(respondent: Respondent) -> None:
    client = TestClient(build_endpoint(respondent, names=("eeg.example",)), base_url=HERE)
    statuses = [
        client.get("/openapi.json", headers={"Host": host}).status_code
        for host in ("127.0.0.1:7860", "eeg.example:7860", "evil.example", "eeg.example.evil.example")
    ]
    assert statuses == [200, 200, 400, 400]


@pytest.mark.parametrize(
    ("served", "header", "status"),
    [
        ("192.0.2.2", "192.0.2.2:7860", 200),
        ("192.0.2.2", "localhost:7860", 200),
        ("192.0.2.2", "evil.example", 400),
        ("192.0.2.2", "192.0.2.3:7860", 400),
        ("0.0.0.0", "192.0.2.3:7860", 200),
        ("0.0.0.0", "evil.example", 400),
        ("fd00::2", "[fd00::2]:7860", 200),
        ("fd00::2", "[fd00::2", 400),
    ],
)
def test_beyond_this_machine_no_foreign_name_is_answered(
    respondent: Respondent, served: str, header: str, status: int
) -> None:
    client = TestClient(build_endpoint(respondent, host=served), base_url=HERE)
    assert client.get("/openapi.json", headers={"Host": header}).status_code == status


@pytest.mark.parametrize("text", ["", "ada", ":secret", "ada:"])
def test_a_password_needs_both_parts(text: str) -> None:
    with pytest.raises(ConfigError, match="user:password"):
        credentials_of(text)


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def _basic(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}
