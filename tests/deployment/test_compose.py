"""docker-compose.yml at work: every service's own command against a real PostgreSQL, and a study through all of them.

No container engine is needed; :mod:`compose_services` says what stands in for one.
"""

import base64
import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
from command_line import CommandLine
from compose_file import COMPOSE, example_variables, read_compose
from compose_services import Stack
from postgres_server import postgres_binaries
from shrunk import shrunk

from hms_search.data.synthetic import write_synthetic
from hms_search.document import dump_yaml
from hms_search.search.study import study_document

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

SECRETS = {name: f"s3cret:%40/@'{name[::-1]}" for name in example_variables()}
STUDY = "studies/quickstart.yaml"
SMALL = tuple(
    f"--set={setting}"
    for setting in (
        *shrunk(COMPOSE.parent / STUDY),
        "data.synthetic.patients=8",
        "trials=3",
        "promotion.n_folds=2",
        "pruner={name: none}",
    )
)


@dataclass(frozen=True)
class Ran:
    """The services, up, and what the command of ``search`` printed."""

    stack: Stack
    printed: str

    def ask(self, port: str, path: str, *, password: str = "", host: str = "") -> tuple[int, bytes]:
        """Ask a service over HTTP; the app's user is hms, MLflow's is admin."""
        user = "hms" if port == "7860" else "admin"
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = ({"Authorization": f"Basic {token}"} if password else {}) | ({"Host": host} if host else {})
        request = urllib.request.Request(f"http://127.0.0.1:{self.stack.ports[port]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The whole file at work: what starts by itself, a study, its champion, and the app that serves it."""
    services = read_compose(COMPOSE, SECRETS)["services"]
    with tempfile.TemporaryDirectory(prefix="hms-search-cluster-") as cluster, ExitStack() as running:
        Path(cluster).chmod(0o755)  # the server's own user goes through it
        database = Path(cluster) / "cluster"
        database.mkdir()
        stack = Stack(services, tmp_path_factory.mktemp("stack"), database, postgres_binaries())
        for name in ("postgres", "mlflow", "dashboard"):
            running.enter_context(stack.up(name))
        assert stack.is_healthy("search")
        with ThreadPoolExecutor(2) as pool:  # as `--scale search=2` does
            printed = "".join(pool.map(lambda _: stack.run("search", "run", STUDY, *SMALL), range(2)))
        printed += stack.run("search", "promote", "quickstart", "--folds=2", "--epochs=1", "--force")
        running.enter_context(stack.up("app"))
        yield Ran(stack, printed)


@pytest.fixture
def search(ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The service ``search`` for a look: hms-search in its folder and under its environment, in this process."""
    for name, value in ran.stack.environment("search").items():
        monkeypatch.setenv(name, value)
    return CommandLine(ran.stack.folder("search"), monkeypatch, capsys)


def test_a_study_runs_and_is_read_back(ran: Ran, search: CommandLine) -> None:
    assert "to look at it" in ran.printed
    shown = search("show", "quickstart")
    assert "best: trial" in shown
    assert "study quickstart: 3 complete" in shown  # of both sessions together
    assert not (ran.stack.folder("search") / "mlruns" / "optuna.db").exists()
    (study,) = json.loads(ran.ask("8080", "/api/studies")[1])["study_summaries"]
    assert study["study_name"] == "quickstart"


def test_the_service_runs_a_study_of_ones_own_on_ones_recordings(ran: Ran, tmp_path: Path) -> None:
    recordings, studies = tmp_path / "recordings", tmp_path / "studies"
    write_synthetic(recordings, n_patients=8, seed=5, workers=1)
    studies.mkdir()
    settings = (*shrunk(COMPOSE.parent / STUDY), "trials=1", "name=own", "data.root=null")
    content = study_document(COMPOSE.parent / STUDY, settings).content
    (studies / "mine.yaml").write_text(dump_yaml(content))
    own = {"HMS_DATA": str(recordings), "HMS_STUDIES": str(studies), "HMS_STUDY": "own/mine.yaml"}
    services = read_compose(COMPOSE, {**SECRETS, **own})["services"]
    stack = Stack(services, tmp_path / "stack", ran.stack.cluster, ran.stack.postgres_binaries, ran.stack.ports)
    printed = stack.run("search")
    assert "study own: 1 complete" in printed
    assert "the recordings are synthetic" not in printed


def test_runs_and_their_files_are_kept_by_the_server(ran: Ran) -> None:
    password = SECRETS["MLFLOW_ADMIN_PASSWORD"]
    assert ran.ask("5000", "/", password=password)[0] == 200
    api = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=quickstart"
    experiment = json.loads(ran.ask("5000", api, password=password)[1])["experiment"]
    assert experiment["artifact_location"].startswith("mlflow-artifacts:")
    kept = {path.name for path in (ran.stack.root / "volumes" / "artifacts").rglob("*")}
    assert {"config.yaml", "learning_curve.png", "oof.parquet"} <= kept
    assert not (ran.stack.folder("search") / "mlruns" / "mlflow.db").exists()


def test_the_champion_is_served_from_the_registry(ran: Ran) -> None:
    status, page = ran.ask("7860", "/openapi.json", password=SECRETS["APP_PASSWORD"])
    assert status == 200
    assert "/api/predict" in json.loads(page)["paths"]


@pytest.mark.parametrize(
    ("port", "path", "password"),
    [("5000", "/", ""), ("5000", "/", "wrong"), ("7860", "/", ""), ("7860", "/openapi.json", "wrong")],
)
def test_without_the_right_password_nothing_is_answered(ran: Ran, port: str, path: str, password: str) -> None:
    assert ran.ask(port, path, password=password)[0] == 401


@pytest.mark.parametrize(
    ("port", "password"), [("5000", "MLFLOW_ADMIN_PASSWORD"), ("8080", ""), ("7860", "APP_PASSWORD")]
)
def test_a_foreign_host_name_is_refused(ran: Ran, port: str, password: str) -> None:
    answer, _ = ran.ask(port, "/", password=SECRETS.get(password, ""), host=f"evil.example:{port}")
    assert answer in (400, 403)


@pytest.mark.parametrize("user", ["optuna", "mlflow"])
def test_the_databases_users_see_their_own_and_nobody_comes_in_without_a_password(ran: Ran, user: str) -> None:
    address = f"host=127.0.0.1 port={ran.stack.ports['5432']} user={user}"
    other = "mlflow" if user == "optuna" else "optuna"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"{address} dbname={user}")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{address} dbname={user}", password="wrong")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"{address} dbname={other}", password=SECRETS[f"{user.upper()}_DB_PASSWORD"])


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("PGPASSWORD", "check that the server runs"), ("MLFLOW_TRACKING_PASSWORD", "MLflow at http://127.0.0.1")],
)
def test_a_wrong_password_ends_the_search_in_one_clear_line(
    search: CommandLine, monkeypatch: pytest.MonkeyPatch, variable: str, expected: str
) -> None:
    monkeypatch.setenv(variable, "wr0ng-one")
    printed = search("run", STUDY, *SMALL, code=2)
    assert expected in printed
    assert "Traceback" not in printed
    assert "wr0ng-one" not in printed


def test_no_password_stands_in_a_log_a_tag_an_attribute_a_file_or_a_command_line(ran: Ran) -> None:
    kept = [path for path in ran.stack.root.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in kept}
    assert any(name.endswith("postgres.log") for name in texts)
    for user, database in (("optuna", "optuna"), ("mlflow", "mlflow"), ("mlflow", "mlflow_users")):
        texts[database] = _all_of(ran.stack, user, database)
    assert b"quickstart" in texts["optuna"]
    assert b"mlflow.parentRunId" in texts["mlflow"]
    for server in ran.stack.running.values():
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                texts[f"command line of {process.pid}"] = " ".join(process.cmdline()).encode()
    for name, text in texts.items():
        found = [secret for secret, value in SECRETS.items() if value.encode() in text]
        assert not found, f"{name} holds {found}"


def _all_of(stack: Stack, user: str, database: str) -> bytes:
    """Every row of every table of a database, as text."""
    address = f"host=127.0.0.1 port={stack.ports['5432']} user={user} dbname={database}"
    with psycopg.connect(address, password=SECRETS[f"{user.upper()}_DB_PASSWORD"]) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [str(connection.execute(f'SELECT * FROM "{name}"').fetchall()) for (name,) in tables]
    return "\n".join(rows).encode()
