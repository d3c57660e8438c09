"""Workers on a Ray cluster: an actor each, placed where there is room for it, and anew when it or its node is lost."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from hms_search.data.carried import CarriedSamples, StorePlace
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.errors import StudyError, TrackingError
from hms_search.provenance import versions
from hms_search.search.executors import RayExecutor
from hms_search.search.ray_cluster import joined, refuse_file_elsewhere
from hms_search.search.ray_seat import Home, Opened, Seat, session_mark
from hms_search.search.trial import Job, TrialEnded, TrialStarted, Verdict
from hms_search.search.workers import Message, WorkerDied, WorkerSettings
from hms_search.tracking import NO_TRACKING, Waiting
from hms_search.tracking.address import is_server

logger = logging.getLogger(__name__)

_OPENINGS = 3
"""A worker that dies as often before it can be handed a trial is not started again."""
_LEAVE_S = 30.0
_FORWARDED = ("AWS_", "HF_", "HMS_SEARCH_", "MLFLOW_", "PG")
"""What of the environment goes to other machines, in a call: what Ray itself is told of an environment, it logs."""


@contextmanager
def ray_slots(executor: RayExecutor, count: int, settings: WorkerSettings) -> "Iterator[list[RaySlot]]":
    """Give ``count`` workers on a Ray cluster; one of this machine, where no address is named, is stopped at the end.

    Raises StudyError where there is no such cluster, TrackingError where its nodes cannot reach MLflow's store.
    """
    with joined(executor) as cluster, session_mark(settings.work.parent.parent) as home:
        refuse_file_elsewhere(settings.tracking_uri, cluster.hosts)
        share = cluster.share(executor, count, settings.device)
        settings = replace(
            settings,
            device=share.device,
            threads=max(1, int(executor.cpus)),
            crew=count,
            artifacts=settings.artifacts.absolute(),
            journals=settings.journals.absolute(),
            work=settings.work.absolute(),
        )
        crew = _Crew(settings, home, share.options)
        yield [RaySlot(number, crew) for number in range(count)]


class RaySlot:
    """One slot: an actor that runs one trial after another; another takes its place when it dies."""

    def __init__(self, slot: int, crew: "_Crew") -> None:
        self.slot = slot
        self.job: Job | None = None
        self._crew = crew
        self._bell, self._ringer = Pipe(duplex=False)
        self._openings = 0
        self._leaving: ray.ObjectRef[Waiting] | None = None
        self._start()

    @property
    def idle(self) -> bool:
        """Whether it may be handed a trial: it waits for room on the cluster first."""
        return self.job is None and self._is_open

    @property
    def connection(self) -> Connection:
        """What can be read as soon as the actor has answered."""
        return self._bell

    def submit(self, job: Job) -> None:
        """Hand a trial to the worker; it must be idle."""
        self.job, self._run_id = job, ""
        self._await(self._actor.proceed.remote(job))

    def answer(self, verdict: Verdict) -> None:
        """Answer the epoch the worker waits on."""
        self._await(self._actor.proceed.remote(verdict))

    def receive(self) -> Message | WorkerDied | None:
        """Return the trial's next message, or how the actor died; None where it was placed, or is asked again.

        Raises StudyError where workers cannot be started on the cluster.
        """
        self._bell.recv_bytes()
        if not self._answer.done():  # the bell of an actor that is gone
            return None
        try:
            said = self._answer.result()
        except ActorUnavailableError:  # whether it is lost, Ray knows only when it has missed some heartbeats
            self._await(self._actor.is_there.remote())
            return None
        except RayError as error:
            return self._died(error)
        if isinstance(said, Opened):
            self._opened(said)
            return None
        if isinstance(said, bool):
            return self._lost(f"the connection to Ray node {self._host} was lost")
        if isinstance(said, TrialStarted):
            self._run_id = said.run_id
            self._await(self._actor.proceed.remote())
        if isinstance(said, TrialEnded):
            self.job = None
        message: Message = said
        return message

    def kill(self) -> WorkerDied | None:
        """End the actor at once; return what it was running."""
        job, self.job, self._is_open = self.job, None, False
        ray.kill(self._actor)
        self._bell.close()
        return WorkerDied(job, self._run_id, "killed") if job is not None else None

    def leave(self) -> None:
        """Tell an idle actor to end; one that is busy is killed."""
        if self.idle:
            self._leaving = self._actor.leave.remote()

    def close(self) -> None:
        """Wait for an actor that leaves; nothing is left to do for a killed one."""
        if self._bell.closed:
            return
        if self._leaving is not None:
            with suppress(RayError):
                waiting = ray.get(self._leaving, timeout=_LEAVE_S)
                if waiting.runs and not self._shares_files:
                    logger.warning(
                        "%s runs wait on Ray node %s for MLflow: %s", waiting.runs, self._host, waiting.reason
                    )
        self.kill()

    def _start(self) -> None:
        self.job, self._run_id, self._host = None, "", ""
        self._is_open = self._shares_files = False
        self._actor = self._crew.actor()
        self._await(self._crew.opened(self._actor))

    def _await(self, reference: "ray.ObjectRef[Any]") -> None:
        self._answer: Future[Any] = reference.future()
        self._answer.add_done_callback(self._ring)

    def _ring(self, _: Future[Any]) -> None:
        with suppress(OSError):  # nobody listens any more
            self._ringer.send_bytes(b"")

    def _opened(self, opened: Opened) -> None:
        if not opened.has_samples:
            self._await(self._crew.opened(self._actor, self._crew.carried))
            return
        if not opened.shares_files:
            self._crew.refuse_files(opened.host)
        self._is_open, self._openings = True, 0
        self._host, self._shares_files = opened.host, opened.shares_files

    def _died(self, error: RayError) -> WorkerDied | None:
        if not self._is_open:
            self._openings += 1
            is_fault = isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed)
            if is_fault or self._openings == _OPENINGS:
                raise StudyError(f"no worker can be started on the Ray cluster: {_last_line(error)}")
        return self._lost(_reason(error, self._host))

    def _lost(self, reason: str) -> WorkerDied | None:
        job, run_id = self.job, self._run_id
        ray.kill(self._actor)
        self._start()
        return WorkerDied(job, run_id, reason) if job is not None else None


@dataclass(frozen=True)
class _Crew:
    """What all actors of a session are made with."""

    settings: WorkerSettings
    home: Home
    options: dict[str, Any]

    @cached_property
    def carried(self) -> "ray.ObjectRef[CarriedSamples]":
        """The samples in Ray's object store, put there when the first node needs them; its actors share a node's."""
        return ray.put(CarriedSamples.of(self.settings.store))

    def refuse_files(self, host: str) -> None:
        """Raise TrackingError where runs' files would be left on a node."""
        uri = self.settings.tracking_uri
        if uri != NO_TRACKING and not is_server(uri):
            raise TrackingError(
                f"Ray node {host} does not see {self.home.folder}, where the files of runs are kept; start hms-search "
                "in a folder that all nodes share, or name an MLflow server: --tracking-uri http://HOST:5000"
            )

    def actor(self) -> Any:
        """Return a new actor, which Ray places when it can."""
        return ray.remote(Seat).options(**self.options).remote(versions())

    def opened(self, actor: Any, carried: "ray.ObjectRef[CarriedSamples] | None" = None) -> "ray.ObjectRef[Opened]":
        """Return what becomes known when the actor has been placed and has opened the samples."""
        environment = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
        known = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        samples: Store | SeizureTypes = known.pop("store")
        place = StorePlace.of(samples) if isinstance(samples, Store) else None
        opened: ray.ObjectRef[Opened] = actor.open.remote(
            partial(WorkerSettings, **known), place, self.home, environment, carried
        )
        return opened


def _reason(error: RayError, host: str) -> str:
    if isinstance(error, RayTaskError):
        return f"the worker on Ray node {host} failed: {_last_line(error)}"
    if isinstance(error, OutOfMemoryError):
        return f"Ray ended the worker process on node {host}, which was short of memory"
    if "node has died" in str(error):  # Ray says it in words only
        return f"Ray node {host} was lost"
    return f"the worker process on Ray node {host} was killed"


def _last_line(error: RayError) -> str:
    return str(error).strip().rpartition("\n")[2]
