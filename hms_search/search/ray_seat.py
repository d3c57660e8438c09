"""What runs in a Ray actor: a worker's loop in a thread, and the methods that the coordinator calls.

The coordinator asks for one message after another, so that one call waits at any time, and fails where the node does.
"""

import multiprocessing
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from getpass import getuser
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from threading import Thread
from uuid import uuid4

from hms_search.component import fingerprint_of
from hms_search.data.carried import CarriedSamples, StorePlace
from hms_search.errors import StudyError
from hms_search.provenance import versions
from hms_search.search.trial import Job, TrialEnded, Verdict
from hms_search.search.workers import Message, WorkerSettings, serve
from hms_search.tracking import Waiting, open_journaled


@dataclass(frozen=True)
class Home:
    """The folder that a session was started in, on ``host``; ``mark`` is a file of its own there, ``word`` is in it."""

    host: str
    folder: Path
    mark: Path
    word: str

    def is_seen(self) -> bool:
        """Whether this machine sees the session's files."""
        try:
            return self.mark.read_text() == self.word
        except OSError:
            return False


@dataclass(frozen=True)
class Opened:
    """Where a seat is, and what it has of the session's files; without samples it is to be opened again, with them."""

    host: str
    has_samples: bool
    shares_files: bool


class Seat:
    """A worker in a process of Ray's.

    Raises StudyError where its node has other versions than those ``expected``.
    """

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._unneeded: Path | None = None
        found = versions()
        other = [f"{name} {found[name]} instead of {at}" for name, at in expected.items() if found[name] != at]
        if other:
            raise StudyError(
                f"Ray node {socket.gethostname()} has {', '.join(other)}: trials would not be comparable; install the "
                "same versions on every node"
            )

    def open(
        self,
        settings_with: "partial[WorkerSettings]",
        place: StorePlace | None,
        home: Home,
        environment: Mapping[str, str],
        carried: CarriedSamples | None = None,
    ) -> Opened:
        """Open the samples, those in ``place`` where this node sees them, and begin to serve.

        On a node that does not see the session's folder, trials keep what they go on with, and what MLflow has not been
        told yet, in a folder of the node's own.
        """
        os.environ.update(environment)
        shared = home.is_seen()
        if shared:
            os.chdir(home.folder)
        samples = carried.open() if carried is not None else place and place.open()
        if samples is not None:
            settings = settings_with(store=samples)
            self._settings = settings if shared else _of_its_own(settings, home)
            self._here, there = multiprocessing.Pipe()
            self._failed: Future[None] = Future()
            self._serving = Thread(target=self._serve, args=(there,), daemon=True)
            self._serving.start()
        return Opened(socket.gethostname(), has_samples=samples is not None, shares_files=shared)

    def proceed(self, word: Job | Verdict | None = None) -> Message:
        """Hand a trial or a verdict to the worker, if there is one, and return what it says next."""
        if isinstance(word, Job):
            self._remove_unneeded()
        if word is not None:
            self._here.send(word)
        try:
            message: Message = self._here.recv()
        except EOFError:
            self._failed.result(timeout=10)  # raises what ended the thread
            raise
        if isinstance(message, TrialEnded):
            self._unneeded = message.unneeded
        return message

    def is_there(self) -> bool:
        """Answer, which a lost actor cannot."""
        return True

    def leave(self) -> Waiting:
        """Stop serving, tell MLflow what it was not told and only this node can tell, and return what is left."""
        self._here.send(None)
        self._serving.join()
        self._remove_unneeded()
        settings = self._settings
        tracker = open_journaled(settings.tracking_uri, settings.artifacts, settings.journals, study=settings.study)
        return tracker.send_waiting(insist=True)

    def _remove_unneeded(self) -> None:
        """Remove the last trial's folder, now that its end is kept, where it lies on this node only."""
        if self._unneeded is not None:
            rmtree(self._unneeded, ignore_errors=True)

    def _serve(self, connection: Connection) -> None:
        with connection:  # whatever ends the thread, the other end learns of it
            try:
                serve(connection, self._settings)
            except BaseException as error:
                self._failed.set_exception(error)
                raise


@contextmanager
def session_mark(root: Path) -> Iterator[Home]:
    """Keep a file in a session's folder by which other machines tell whether they see that folder."""
    root.mkdir(parents=True, exist_ok=True)
    word = uuid4().hex
    with tempfile.NamedTemporaryFile("w", dir=root.absolute(), prefix="session-") as mark:
        mark.write(word)
        mark.flush()
        yield Home(socket.gethostname(), Path.cwd(), Path(mark.name), word)


def _of_its_own(settings: WorkerSettings, home: Home) -> WorkerSettings:
    name = f"{home.host}-{fingerprint_of([home.host, str(home.folder)])}"
    folder = Path(tempfile.gettempdir()) / f"hms-search-{getuser()}" / name / "mlruns"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return replace(
        settings,
        work=folder / "trials" / settings.study,
        journals=folder / "journals" / settings.study,
        artifacts=folder / "artifacts",
    )
