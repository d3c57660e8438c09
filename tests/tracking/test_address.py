"""The address of a tracking store: what is refused at once, and that no password is shown."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hms_search.errors import TrackingError, without_password
from hms_search.tracking import open_tracker


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
