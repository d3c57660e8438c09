"""Looking at studies: optuna-dashboard, read-only and on this machine's names only, and the MLflow UI beside it."""

import logging
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from types import FrameType
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna
import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna_dashboard._note import SYSTEM_ATTR_MAX_LENGTH, note_str_key_prefix, note_ver_key

from hms_search.errors import without_password
from hms_search.search.patient_storage import set_study_system_attrs
from hms_search.search.storage import close_storage, open_existing_storage
from hms_search.servers import ChildServer, address_of, family_of, free_port, is_own_name
from hms_search.tracking import NO_TRACKING
from hms_search.tracking.server import mlflow_server

logger = logging.getLogger(__name__)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Shown:
    """What optuna-dashboard shows with a trial: a note (Markdown) and, unless it is empty, a learning curve (PNG)."""

    trial: optuna.Trial
    note: str
    curve: bytes


def attach_trials(study: optuna.Study, shown: Sequence[Shown], *, pictures: Path) -> None:
    """Have notes and learning curves shown with trials in optuna-dashboard.

    The trials must not be told yet: Optuna lets nobody add to a finished one.
    """
    _save_notes(study, shown)
    drawn = [one for one in shown if one.curve]
    if not drawn:
        return
    pictures.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(pictures)
    with tempfile.TemporaryDirectory() as folder:
        for one in drawn:
            picture = Path(folder) / f"{quote(study.study_name, safe='')}-trial-{one.trial.number}.png"
            picture.write_bytes(one.curve)
            upload_artifact(artifact_store=store, file_path=str(picture), study_or_trial=one.trial)


def _save_notes(study: optuna.Study, shown: Sequence[Shown]) -> None:
    """Keep notes as optuna-dashboard does, whose own function reads the notes of all trials twice for each.

    What follows the first 2,045 letters is left out, so that a shorter note replaces a longer one.
    """
    kept: dict[str, object] = {}
    for one in shown:
        kept[note_ver_key(one.trial._trial_id)] = int(time.time())
        kept[f"{note_str_key_prefix(one.trial._trial_id)}0"] = one.note[:SYSTEM_ATTR_MAX_LENGTH]
    set_study_system_attrs(study._storage, study._study_id, kept)


@dataclass(frozen=True)
class Dashboards:
    """The addresses of the two running servers."""

    mlflow: str
    dashboard: str
    _server: ChildServer | None

    def wait(self, *others: ChildServer) -> None:
        """Stay until the user ends it; raises ServerError where the MLflow server or another one ends by itself."""
        servers = others if self._server is None else (self._server, *others)
        while True:
            for server in servers:
                server.check()
            time.sleep(0.5)


@contextmanager
def dashboards_up(
    *,
    storage_url: str,
    tracking_uri: str,
    artifacts: Path,
    pictures: Path,
    host: str = "127.0.0.1",
    mlflow_port: int = 5000,
    dashboard_port: int = 8080,
) -> Iterator[Dashboards]:
    """Run the MLflow UI and optuna-dashboard until the context ends; both answer when it begins.

    Ctrl-C, SIGTERM or a closed terminal end the context without an exception, and both servers with it.
    A port that is taken is replaced by a free one, with a warning. Where the tracking URI is a server, its own UI is
    named instead of a new one.

    Raises StudyError where the storage cannot be opened, ServerError where a server does not start.
    """
    with ExitStack() as stack:
        stack.enter_context(_signals_interrupt())
        dashboard = stack.enter_context(serve_dashboard(storage_url, pictures, host=host, port=dashboard_port))
        server = None
        mlflow = without_password(tracking_uri)
        if tracking_uri == NO_TRACKING:
            mlflow = "not tracked"
        elif not tracking_uri.startswith(("http://", "https://")):
            port = free_port(host, mlflow_port, "the MLflow UI")
            server = stack.enter_context(mlflow_server(tracking_uri, artifacts, host=host, port=port))
            mlflow = server.address
        with suppress(KeyboardInterrupt):
            yield Dashboards(mlflow, dashboard, server)


@contextmanager
def serve_dashboard(
    storage_url: str, pictures: Path, *, host: str = "127.0.0.1", port: int = 8080, names: Collection[str] = ()
) -> Iterator[str]:
    """Serve optuna-dashboard on an existing storage from a thread of this process; yields its address.

    optuna-dashboard asks for no password and checks no Host header, and whoever reaches it may delete studies. Here
    it hears only requests to this machine's own names, or to ``names``, and only those that change nothing.
    """
    storage = open_existing_storage(storage_url)
    pictures.mkdir(parents=True, exist_ok=True)
    app = guarded(optuna_dashboard.wsgi(storage, FileSystemArtifactStore(pictures)), host=host, names=names)
    server = _listen(host, port, app)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="optuna-dashboard", daemon=True)
    thread.start()
    try:
        yield address_of(host, server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        close_storage(storage)


def guarded(app: WsgiApp, *, host: str, names: Collection[str] = ()) -> WsgiApp:
    """Return an application that answers 403 to foreign Host headers and 405 to all but GET and HEAD."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not is_own_name(environ.get("HTTP_HOST", ""), host, names):
            return _refuse(start_response, "403 Forbidden", "This server does not go by that name.")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "405 Method Not Allowed", "This dashboard is read-only.")
        return app(environ, start_response)

    return answer


def _refuse(start_response: Callable[..., Any], status: str, reason: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Allow", "GET, HEAD")]
    start_response(status, headers)
    return [reason.encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = family_of(host)
        super().__init__((host, port), _QuietHandler)

    def server_bind(self) -> None:
        """Bind without asking the name server for this machine's full name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)


def _listen(host: str, port: int, app: WsgiApp) -> WSGIServer:
    server = _Server(host, free_port(host, port, "optuna-dashboard"))
    server.set_app(app)
    return server


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does, so that its servers are stopped."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
