"""The address of a tracking store: what is refused at once, and that no password is shown."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hms_search.errors import TrackingError, without_password
from hms_search.tracking import open_tracker
from hms_search.tracking.address import destination, kept_destination, sync_line


class _AsksForPassword(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked.append((self.path, self.headers.get("Authorization", "")))
        self.send_response(200 if self.path == "/health" else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


asked: list[tuple[str, str]] = []


@pytest.fixture
def server() -> Iterator[str]:
    """A server that is healthy and lets nobody in; yields host and port."""
    asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _AsksForPassword) as listening:
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def refusal(uri: str, tmp_path: Path) -> str:
    with pytest.raises(TrackingError) as caught:
        open_tracker(uri, tmp_path / "artifacts", study="s").start_study(tags={}, texts={})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_user_and_password_may_stand_in_the_address_of_a_server(server: str, tmp_path: Path) -> None:
    said = refusal(f"http://ada:s3cret@{server}", tmp_path)
    assert said.startswith(f"MLflow at http://ada:***@{server}: ")
    assert "s3cret" not in said
    assert asked[0] == ("/health", "")
    assert asked[-1][1] == f"Basic {base64.b64encode(b'ada:s3cret').decode()}"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://ada:s3cret@127.0.0.1:9", "check that the server runs"),
        ("htps://ada:s3cret@host", "is not understood"),
        (
            "postgresql+psycopg://ada:s3cret@127.0.0.1:9/runs",
            "check that its driver is installed, that the server runs",
        ),
        ("postgresql+nodriver://ada:s3cret@127.0.0.1:9/runs", "check that its driver is installed"),
        ("postgresql+psycopg://ada@127.0.0.1:9/runs?password=s3cret", "password=***"),
    ],
)
def test_what_does_not_answer_is_one_line_within_seconds_and_without_the_password(
    uri: str, expected: str, tmp_path: Path
) -> None:
    said = refusal(uri, tmp_path)
    assert expected in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:s3cret@host/db", "postgresql://ada:***@host/db"),
        ("postgresql:/ada:s3cret@host/db", "postgresql:/ada:***@host/db"),
        ("ada:s3/c@ret@host", "ada:***@host"),
        ("at 'http://ada:p%40w@host:5000/x', try again", "at 'http://ada:***@host:5000/x', try again"),
        ("postgresql://host/db?user=ada&password=s3cret&x=1", "postgresql://host/db?user=ada&password=***&x=1"),
        (
            "http://127.0.0.1:5000 has no model models:/hms@champion",
            "http://127.0.0.1:5000 has no model models:/hms@champion",
        ),
        ("sqlite:///mlruns/optuna.db: disk full", "sqlite:///mlruns/optuna.db: disk full"),
    ],
)
def test_addresses_are_shown_without_their_passwords(text: str, shown: str) -> None:
    assert without_password(text) == shown


SURROUNDINGS = ["{}", "at {}", "'{}'", "MLflow at {}: it is away; try again", "({}), and mail a@b.c"]
NAMES = """password passwd pwd sslpassword PGPASSWORD MLFLOW_TRACKING_PASSWORD token access_token HF_TOKEN secret
client_secret api_key apikey access_key secret_key AWS_SECRET_ACCESS_KEY"""


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql", "http", "https"])
def test_no_password_of_an_address_is_shown_whatever_it_holds(scheme: str, around: str) -> None:
    for between in ("", "/", " ", "@", "'", '"', ":", "?x=", "#", "&"):
        for password in (f"S3{between}CRET", f"{between.strip()}S3CRET"):
            shown = without_password(around.format(f"{scheme}://ada:{password}@host:5000/db"))
            assert "S3" not in shown
            assert "CRET" not in shown
            assert f"{scheme}://ada:***@" in shown
            assert without_password(shown) == shown


@pytest.mark.parametrize("around", ["{}", "postgresql://ada@host/db?{}&x=1", "host=h {} dbname=x", "'host=h {}'"])
@pytest.mark.parametrize("value", ["S3", "'S3 T'", '"S3 T"', "S3'T", r"'S3\'T'", r"\'S3 T\'", "S3&T"])
def test_no_secret_of_a_setting_is_shown(value: str, around: str) -> None:
    for name in NAMES.split():
        for equals in ("=", " = "):
            shown = without_password(around.format(name + equals + value))
            assert shown == around.format(f"{name}{equals}***")
            assert without_password(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://S3CRET@host/x", "https://***@host/x"),
        ("http://S3CRET@h:5000", "http://***@h:5000"),
        ("https://S3CRET:@host", "https://***@host"),
        ("http://me@corp.example:S3CRET@h", "http://***@corp.example:***@h"),
        ("postgresql://dom/ada:S3CRET@h", "postgresql://dom/ada:***@h"),
        ("password='S3 CRET", "password=***"),
    ],
)
def test_other_places_of_a_secret_are_known(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "ask a@b.c, or 'a@b.c'",
        "http://h:5000 is away; ask a@b.c",
        "MLflow at http://h:5000: <urlopen error>; ask a@b.c",
        "write http://host:port or postgresql://ada@host/db",
        "--set expects path=value, found 'x'; for example --set trials=40",
        "write key=value",
        "monkey=3 n_tokens=5 pad_token=3 token_dim=8 public_key=abc",
        "study.yaml:3: password: expected a word",
        "host, user, password and database are right",
        "postgresql://ada@host:5432/db",
        "models:/hms@champion",
        "http://mlflow.example/models/hms@champion",
        "sqlite:////tmp/a:b@c/mlflow.db",
        "/tmp/x:y@z/f.yaml:3: lr: unknown key",
        "file:///a:/b@c",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert without_password(text) == text


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("http://ada:s3cret@Host:5000/", "http://host:5000"),
        ("https://token@host/ml?x=1", "https://host/ml"),
        ("postgresql+psycopg://ada:s3cret@host:5432/runs?sslmode=require", "postgresql+psycopg://host:5432/runs"),
        ("postgresql://ada:/s3cret@host/runs", "postgresql://host/runs"),
        ("postgresql:///runs?host=/run/pg&password=s3cret", "postgresql:///runs?host=%2Frun%2Fpg"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("htps://ada:s3cret@host", "htps://host"),
        ("http://ada:s3cret@[::1", "http://ada:***@[::1"),
    ],
)
def test_a_destination_is_kept_without_user_password_and_settings(uri: str, named: str, tmp_path: Path) -> None:
    kept = kept_destination(uri, tmp_path)
    assert (kept, destination(kept, tmp_path)) == (named, named)


def test_a_file_beside_the_journals_moves_with_them(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "mlruns", tmp_path / "there" / "mlruns"
    kept = kept_destination(f"sqlite:///{here}/mlflow.db", here / "journals" / "small")
    assert destination(kept, there / "journals" / "small") == f"sqlite:///{there}/mlflow.db"


def test_the_command_that_sends_names_the_address_without_its_password() -> None:
    assert sync_line(None) == "hms-search sync"
    assert sync_line("http://host:5000") == "hms-search sync --tracking-uri http://host:5000"
    shown = "hms-search sync --tracking-uri 'http://ada:***@host:5000' (with its password for ***)"
    assert sync_line("http://ada:s3cret@host:5000") == shown
