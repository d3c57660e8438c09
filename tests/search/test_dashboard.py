"""The dashboards over HTTP: what they show, whom they refuse, and that nothing is left when they end."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import optuna
import optuna_dashboard
import psutil
import pytest
from lacking import lacking

from hms_search.errors import HmsSearchError, ServerError, StudyError
from hms_search.search.dashboard import Shown, attach_trials, dashboards_up, guarded, serve_dashboard
from hms_search.search.storage import open_storage
from hms_search.tracking import open_tracker

PNG = b"\x89PNG\r\n\x1a\n, not really"
NOTE = "MLflow run `abc`"


@dataclass(frozen=True)
class Places:
    """Stores with a study of two trials, and the process table before anything was started."""

    storage_url: str
    tracking_uri: str
    artifacts: Path
    pictures: Path

    def arguments(self) -> dict[str, str | Path]:
        return self.__dict__


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("mlruns")
    made = Places(f"sqlite:///{root}/optuna.db", f"sqlite:///{root}/mlflow.db", root / "artifacts", root / "dashboard")
    storage = open_storage(made.storage_url)
    study = optuna.create_study(study_name="effnet", storage=storage)
    for number in range(2):
        trial = study.ask()
        trial.suggest_float("lr", 0, 1)
        attach_trials(study, [Shown(trial, NOTE, PNG if number else b"")], pictures=made.pictures)
        study.tell(trial, 0.5)
    storage.engine.dispose()
    tracker = open_tracker(made.tracking_uri, made.artifacts, study="effnet")
    tracker.start_study(tags={}, texts={})
    return made


@pytest.fixture(scope="module")
def dashboard(places: Places) -> Iterator[str]:
    with serve_dashboard(places.storage_url, places.pictures, port=free_port()) as address:
        yield address


@pytest.fixture
def mine() -> Callable[[], list[psutil.Process]]:
    """Lists the processes started since the test began; earlier tests may have left a fork server behind."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: [child for child in psutil.Process().children(recursive=True) if child not in before]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(address: str, *, method: str = "GET", host: str | None = None) -> tuple[int, bytes]:
    headers = {"Host": host} if host is not None else {}
    request = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_dashboard_shows_a_trial_with_its_note_and_picture(dashboard: str) -> None:
    status, page = ask(f"{dashboard}/dashboard")
    assert status == 200
    assert b"<html" in page
    (study,) = json.loads(ask(f"{dashboard}/api/studies")[1])["study_summaries"]
    assert study["study_name"] == "effnet"
    trials = json.loads(ask(f"{dashboard}/api/studies/{study['study_id']}?after=0")[1])["trials"]
    assert [trial["note"]["body"] for trial in trials] == [NOTE, NOTE]
    assert trials[0]["artifacts"] == []
    (artifact,) = trials[1]["artifacts"]
    assert (artifact["filename"], artifact["mimetype"]) == ("effnet-trial-1.png", "image/png")
    address = f"{dashboard}/artifacts/{study['study_id']}/{trials[1]['trial_id']}/{artifact['artifact_id']}"
    assert ask(address) == (200, PNG)


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT", "PATCH"])
def test_the_dashboard_changes_nothing(dashboard: str, method: str) -> None:
    study_id = json.loads(ask(f"{dashboard}/api/studies")[1])["study_summaries"][0]["study_id"]
    assert ask(f"{dashboard}/api/studies/{study_id}", method=method)[0] == 405
    assert len(json.loads(ask(f"{dashboard}/api/studies")[1])["study_summaries"]) == 1


@pytest.mark.parametrize(
    ("served", "header", "status"),
    [
        ("127.0.0.1", "localhost:8080", 200),
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "[::1]:8080", 200),
        ("127.0.0.1", "evil.example:8080", 403),
        ("127.0.0.1", "127.0.0.1.evil.example", 403),
        ("127.0.0.1", "localhost@evil.example", 403),
        ("127.0.0.1", "192.168.1.7:8080", 403),
        ("127.0.0.1", "", 403),
        ("127.0.0.1", "[foo", 403),
        ("::1", "[::1]:8080", 200),
        ("::", "[fd00::2]:8080", 200),
        ("::", "evil.example:8080", 403),
        ("eeg-server", "EEG-server:8080", 200),
        ("0.0.0.0", "192.168.1.7:8080", 200),
        ("0.0.0.0", "evil.example:8080", 403),
        ("0.0.0.0", "EEG.example:8080", 200),
        ("0.0.0.0", "eeg.example.evil.example:8080", 403),
    ],
)
def test_only_this_machines_own_names_are_answered(served: str, header: str, status: int) -> None:
    def app(environ: dict[str, object], start_response: object) -> list[bytes]:
        assert callable(start_response)
        start_response("200 OK", [])
        return []

    statuses: list[str] = []
    guarded(app, host=served, names=("eeg.example",))(
        {"REQUEST_METHOD": "GET", "HTTP_HOST": header}, lambda line, _headers: statuses.append(line)
    )
    assert [int(line.split()[0]) for line in statuses] == [status]


def test_both_dashboards_answer_while_up_and_refuse_foreign_names(
    places: Places, mine: Callable[[], list[psutil.Process]]
) -> None:
    mlflow_port, dashboard_port = free_port(), free_port()
    with dashboards_up(**places.arguments(), mlflow_port=mlflow_port, dashboard_port=dashboard_port) as running:  # type: ignore[arg-type]
        assert running.mlflow == f"http://127.0.0.1:{mlflow_port}"
        assert running.dashboard == f"http://127.0.0.1:{dashboard_port}"
        assert ask(f"{running.mlflow}/")[0] == 200
        assert b"effnet" in ask(f"{running.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=effnet")[1]
        assert ask(f"{running.mlflow}/", host="evil.example")[0] == 403
        assert ask(f"{running.dashboard}/api/studies", host="evil.example")[0] == 403
        children = mine()
        assert any("mlflow" in " ".join(child.cmdline()) for child in children)
        assert len(children) <= 4  # without the job runner's consumers
        open_tracker(running.mlflow, places.artifacts, study="over http").start_study(tags={}, texts={"a.txt": "b"})
        children[0].kill()
        with pytest.raises(ServerError, match="ended with exit code -9; it wrote: "):
            running.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(running.dashboard, timeout=5)


UP = """
import sys
from pathlib import Path
from hms_search.search.dashboard import dashboards_up

root = Path(sys.argv[1])
with dashboards_up(
    storage_url=f"sqlite:///{root}/optuna.db", tracking_uri=f"sqlite:///{root}/mlflow.db",
    artifacts=root / "artifacts", pictures=root / "dashboard",
    mlflow_port=int(sys.argv[2]), dashboard_port=int(sys.argv[3]),
) as running:
    print(running.mlflow, running.dashboard, flush=True)
    running.wait()
print("ended", flush=True)
"""


def test_no_process_is_left_after_a_signal_and_taken_ports_are_replaced(places: Places) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    busy_port = taken.getsockname()[1]
    command = [sys.executable, "-c", UP, str(places.artifacts.parent), str(busy_port), str(busy_port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    addresses = process.stdout.readline().split()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(addresses) == 2
    assert not any(address.endswith(f":{busy_port}") for address in addresses)
    assert children
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    taken.close()
    assert out == "ended\n"
    assert err.count(f"port {busy_port} is taken") == 2
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"storage_url": "sqlite:////nowhere/optuna.db"}, "there are no studies yet"),
        ({"host": "192.0.2.1"}, "give a --host of this machine"),
        ({"tracking_uri": "postgresql+nodriver://nobody@127.0.0.1:9/db"}, "exit code"),
    ],
)
def test_what_cannot_come_up_is_named_in_one_line(
    places: Places, mine: Callable[[], list[psutil.Process]], changed: dict[str, str], expected: str
) -> None:
    arguments = {**places.arguments(), "mlflow_port": free_port(), "dashboard_port": free_port(), **changed}
    with pytest.raises(HmsSearchError) as raised, dashboards_up(**arguments):  # type: ignore[arg-type]
        pass
    assert isinstance(raised.value, StudyError | ServerError)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not mine()


def test_a_tracking_server_elsewhere_is_named_and_none_is_started(
    places: Places, mine: Callable[[], list[psutil.Process]]
) -> None:
    arguments = {**places.arguments(), "tracking_uri": "http://mlflow.example:5000"}
    with dashboards_up(**arguments, dashboard_port=free_port()) as running:  # type: ignore[arg-type]
        assert running.mlflow == "http://mlflow.example:5000"
        assert not mine()


def test_a_password_in_the_tracking_servers_address_is_not_shown(places: Places) -> None:
    arguments = {**places.arguments(), "tracking_uri": "http://admin:s3cretpw@mlflow.example:5000"}
    with dashboards_up(**arguments, dashboard_port=free_port()) as running:  # type: ignore[arg-type]
        assert running.mlflow == "http://admin:***@mlflow.example:5000"


def test_the_dashboard_is_served_on_an_ipv6_address(places: Places) -> None:
    if "::1" not in {one.address for found in psutil.net_if_addrs().values() for one in found}:
        lacking("this machine has no IPv6")
    with serve_dashboard(places.storage_url, places.pictures, host="::1", port=0) as address:
        assert address.startswith("http://[::1]:")
        assert ask(f"{address}/api/studies")[0] == 200
        assert ask(f"{address}/api/studies", host="evil.example")[0] == 403


def test_attaching_note_and_picture_takes_a_fraction_of_a_second(places: Places, tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    study = optuna.create_study(study_name="cost", storage=storage)
    seconds = []
    for _ in range(12):
        trial = study.ask()
        started = time.perf_counter()
        attach_trials(study, [Shown(trial, NOTE, PNG * 2000)], pictures=tmp_path)
        seconds.append(time.perf_counter() - started)
        study.tell(trial, 1.0)
    storage.engine.dispose()
    assert median(seconds) < 0.2


def test_a_shorter_note_replaces_a_longer_one(tmp_path: Path) -> None:
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    trial = study.ask()
    for note in ("a reason of many words; " * 200, NOTE):
        attach_trials(study, [Shown(trial, note, b"")], pictures=tmp_path)
        assert note.startswith(optuna_dashboard.get_note(trial)[:2000])
    assert optuna_dashboard.get_note(trial) == NOTE
