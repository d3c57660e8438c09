"""The model registry: what is registered is found by every name, lies here as it was, and loads anywhere."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slim_environment import LIBRARIES, slim_environment
from small_models import write_model

from hms_search.data.hms import read_log_power
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.data.synthetic import write_synthetic
from hms_search.errors import TrackingError
from hms_search.inference.bundle import export_bundle
from hms_search.inference.model_folder import open_model
from hms_search.inference.predictor import Predictor
from hms_search.tracking import MlflowTracker
from hms_search.tracking.environment import PRIVATE
from hms_search.tracking.registry import ModelRegistry, RegisteredVersion

TAGS = {"study": "effnet", "trial": "7", "kl_high": "0.412", "gate": "not distinguishable"}


@dataclass(frozen=True)
class Kept:
    """A tracking store, two runs in it, and a registry with a version of each."""

    uri: str
    runs: tuple[str, str]
    registry: ModelRegistry


def keep(uri: str, folder: Path, bundle: Path) -> Kept:
    """Register a bundle under two runs; the first is the champion, the second the candidate."""
    tracker = MlflowTracker(uri, folder / "artifacts", study="effnet")
    parent_id = tracker.start_study(tags={}, texts={})
    runs = [tracker.start_run(name, parent_id=parent_id, params={}, tags={}, texts={}).id for name in ("one", "two")]
    registry = ModelRegistry(uri, folder / "artifacts")
    for run, alias in zip(runs, ("champion", "candidate"), strict=True):
        registry.set_alias("hms", alias, registry.register(run, bundle, tags=TAGS))
    return Kept(uri, (runs[0], runs[1]), registry)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("recordings") / "hms"
    write_synthetic(root, n_patients=2, seed=2, workers=1)
    return sorted(root.glob("train_spectrograms/*.parquet"))[:2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    export_bundle(open_model(write_model(folder / "small")), folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="module")
def expected(bundle: Path, recordings: list[Path]) -> np.ndarray:
    predictor = Predictor.open(bundle, device="cpu")
    return predictor.predict([read_log_power(file) for file in recordings]).probabilities


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Kept:
    folder = tmp_path_factory.mktemp("mlruns")
    return keep(f"sqlite:///{folder}/mlflow.db", folder, bundle)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Kept]:
    """A registry on a server that keeps the files to itself and sends them over HTTP."""
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", address.rpartition(":")[2], "--workers", "1"]
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "far")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, *places], env={**os.environ, **PRIVATE}, stdout=log, stderr=log)
        try:
            wait_for(f"{address}/health", server)
            yield keep(address, folder / "here", bundle)
        finally:
            server.terminate()
            server.wait()


def wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"no answer from {url}")


def rows_of(answer: Any) -> np.ndarray:
    return np.array([[row[name] for name in VOTE_COLUMNS] for row in answer])


def test_a_version_is_found_by_its_aliases_its_number_and_its_run(local: Kept) -> None:
    first, second = (RegisteredVersion("hms", 1, local.runs[0], ("champion",), TAGS), local.registry.find("hms/2"))
    for reference in ("champion", "hms@champion", "hms/1", "models:/hms@champion", "models:/hms/1", local.runs[0]):
        assert local.registry.find(reference) == first
    assert (second.version, second.run_id, second.aliases) == (2, local.runs[1], ("candidate",))
    assert local.registry.versions() == (first, second)


def test_an_alias_moves_and_tags_are_added(local: Kept) -> None:
    local.registry.set_alias("hms", "best", 1)
    assert local.registry.find("best").version == 1
    local.registry.set_alias("hms", "best", 2)
    local.registry.set_tags("hms", 2, {"forced": "yes", "trial": "8"})
    assert local.registry.find("best") == local.registry.find("hms/2")
    assert local.registry.find("best").tags == {**TAGS, "forced": "yes", "trial": "8"}
    assert local.registry.find("hms/1").aliases == ("champion",)


@pytest.mark.parametrize("reference", ["winner", "hms@winner", "hms/9", "other/1", "models:/hms/9", "0" * 32, "hms"])
def test_an_unknown_reference_names_what_there_is(local: Kept, reference: str) -> None:
    with pytest.raises(TrackingError, match=rf"no model '{reference}'; it has hms/1 \(champion\); hms/2") as raised:
        local.registry.find(reference)
    assert "write an alias" in str(raised.value).lower()


def test_unknown_runs_versions_and_stores_are_errors_and_leave_nothing(local: Kept, bundle: Path) -> None:
    with pytest.raises(TrackingError, match="not found"):
        local.registry.register("0" * 32, bundle, tags={})
    with pytest.raises(TrackingError, match="not found"):
        local.registry.set_alias("hms", "champion", 99)
    nowhere = Path(local.uri.removeprefix("sqlite:///")).with_name("other.db")
    with pytest.raises(TrackingError, match=r"no file .*other\.db"):
        ModelRegistry(f"sqlite:///{nowhere}", nowhere.parent)
    assert not nowhere.exists()


def test_a_local_model_is_not_copied_and_holds_no_pickle(local: Kept, bundle: Path) -> None:
    folder = local.registry.fetch(local.registry.find("champion"))
    assert open_model(folder).card == open_model(bundle).card
    assert folder == local.registry.fetch(local.registry.find("champion"))
    assert folder.is_relative_to(Path(local.uri.removeprefix("sqlite:///")).parent / "artifacts" / "effnet")
    kept = {file.suffix for file in folder.parents[1].rglob("*") if file.is_file()}
    assert kept <= {"", ".py", ".md", ".json", ".yaml", ".txt", ".typed", ".safetensors"}
    needs = (folder.parents[1] / "requirements.txt").read_text().split()
    assert {need.partition("==")[0] for need in needs} == {"mlflow", "torchvision", "safetensors", *LIBRARIES}
    assert all("==" in need for need in needs)


def test_the_champion_loads_in_a_fresh_process_that_has_no_hms_search(
    local: Kept, recordings: list[Path], expected: np.ndarray, tmp_path: Path
) -> None:
    script = f"""
import mlflow, pandas, sys
mlflow.set_tracking_uri({local.uri!r})
model = mlflow.pyfunc.load_model("models:/hms@champion")
print(model.predict(pandas.DataFrame({{"spectrogram_path": {list(map(str, recordings))}}})).to_json(orient="records"))
print(sys.modules["hms_search"].__file__)
"""
    environment = slim_environment(tmp_path / "slim", (*LIBRARIES, "mlflow"))
    (environment.python.parent / "hms_search").mkdir()  # where it starts: a folder of that name, but no package
    answer, code = environment.run("-c", script, variables=PRIVATE).stdout.strip().splitlines()
    np.testing.assert_allclose(rows_of(json.loads(answer)), expected, rtol=0, atol=1e-6)
    assert Path(code).is_relative_to(local.registry.fetch(local.registry.find("champion")) / "code")


def test_the_champion_predicts_through_the_command_of_mlflow_and_a_server(
    served: Kept, recordings: list[Path], expected: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "input.json").write_text(
        json.dumps({"dataframe_split": {"columns": ["spectrogram_path"], "data": [[str(file)] for file in recordings]}})
    )
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "predict",
        "-m",
        "models:/hms@champion",
        "--env-manager",
        "local",
    ]
    places = ["-i", str(tmp_path / "input.json"), "-o", str(tmp_path / "output.json"), "-t", "json"]
    environment = {**os.environ, **PRIVATE, "MLFLOW_TRACKING_URI": served.uri}
    done = subprocess.run([*command, *places], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads((tmp_path / "output.json").read_text())["predictions"]
    np.testing.assert_allclose(rows_of(answer), expected, rtol=0, atol=1e-6)


def test_a_model_that_a_server_keeps_is_copied_once(served: Kept, bundle: Path) -> None:
    champion = served.registry.find("champion")
    folder = served.registry.fetch(champion)
    assert open_model(folder).card == open_model(bundle).card
    before = folder.stat().st_mtime_ns
    assert served.registry.fetch(champion) == folder
    assert folder.stat().st_mtime_ns == before
    assert {place.name for place in folder.parents[2].iterdir()} == {f"1-{served.runs[0]}"}
