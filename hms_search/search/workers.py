"""Workers: processes that run trials and report over a pipe. They never open the study's storage.

They are forked from a process that has imported all they need and does nothing else: importing takes seconds, and a
process with CUDA or with threads, as the coordinator may be, is not to be forked.
"""

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch

from hms_search.data.folds import Folds, Order, counterpart, level_of, plan_folds
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.errors import HmsSearchError, StudyError, TrackingError
from hms_search.host_memory import keep_freed_memory, return_freed_memory
from hms_search.host_processors import threads_of_each
from hms_search.search.aims import Wanted
from hms_search.search.trial import EpochEnded, Job, TrialContext, TrialEnded, TrialStarted, Verdict, run_trial
from hms_search.tracking import open_journaled
from hms_search.training.tasks import TASKS

_FORK_SERVER = multiprocessing.get_context("forkserver")
_FORK_SERVER.set_forkserver_preload(["hms_search.search.fork_server"])
_LEAVE_S = 10.0
"""How long a worker that was told to leave may take; one that trains ends its epoch first."""

Message = TrialStarted | EpochEnded | TrialEnded


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to open the same data, folds and tracking store as its coordinator."""

    study: str
    store: Store | SeizureTypes
    folds: Folds
    folds_fingerprint: str
    order: Order
    objective: Literal["all", "high", "low"]
    device: str
    threads: int
    tracking_uri: str
    artifacts: Path
    journals: Path
    parent_id: str
    work: Path
    wanted: Wanted
    crew: int = 1
    """How many workers the session has."""


@dataclass(frozen=True)
class WorkerDied:
    """A worker ended without a word; ``job`` is what it was running."""

    job: Job
    run_id: str
    reason: str


class Worker:
    """One slot: a process that runs one trial after another, started anew when it dies."""

    def __init__(self, slot: int, settings: WorkerSettings, *, gpu: int | None = None) -> None:
        self.slot = slot
        self.job: Job | None = None
        self._run_id = ""
        self._leaves_by = 0.0
        self._settings, self._gpu = settings, gpu
        self._start()

    @property
    def idle(self) -> bool:
        """Whether it may be handed a trial."""
        return self.job is None

    @property
    def connection(self) -> Connection:
        """The pipe's end on this side."""
        return self._connection

    def submit(self, job: Job) -> None:
        """Hand a trial to the worker; it must be idle."""
        self.job, self._run_id = job, ""
        try:
            self._connection.send(job)
        except BrokenPipeError:  # it died while idle
            self.restart()
            self.job = job
            self._connection.send(job)

    def answer(self, verdict: Verdict) -> None:
        """Answer the epoch the worker waits on."""
        try:
            self._connection.send(verdict)
        except BrokenPipeError:  # it died while waiting: the next receive says so
            return

    def receive(self) -> Message | WorkerDied | None:
        """Return the message that is waiting, or how the process died; None when an idle one died."""
        try:
            message: Message = self._connection.recv()
        except (EOFError, OSError):  # the latter also in the middle of a message
            job, run_id = self.job, self._run_id
            self._process.join(timeout=10)
            code = self._process.exitcode
            self.restart()
            return WorkerDied(job, run_id, _reason(code)) if job is not None else None
        if isinstance(message, TrialStarted) and self.job is not None and message.number == self.job.number:
            self._run_id = message.run_id
        if isinstance(message, TrialEnded):
            self.job = None
        return message

    def kill(self) -> WorkerDied | None:
        """End the process at once; return what it was running."""
        job, run_id = self.job, self._run_id
        self._process.kill()
        self._process.join()
        self._connection.close()
        self.job = None
        return WorkerDied(job, run_id, _reason(self._process.exitcode)) if job is not None else None

    def leave(self) -> None:
        """Tell the process to end, where it was not killed; a trial that it runs ends as interrupted."""
        self._leaves_by = time.monotonic() + _LEAVE_S
        with suppress(OSError):  # it has ended, or was killed
            self._connection.send(None)

    def close(self) -> None:
        """Wait for a process that leaves; nothing is left to do for a killed one."""
        if self._connection.closed:
            return
        self._process.join(timeout=max(0.0, self._leaves_by - time.monotonic()))
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()

    def restart(self) -> None:
        """Replace a dead process by a new one."""
        self._connection.close()
        self.job = None
        self._start()

    def _start(self) -> None:
        self._connection, theirs = _FORK_SERVER.Pipe()
        environment = _environment(self._gpu)
        self._process = _FORK_SERVER.Process(
            target=_be_worker, args=(theirs, self._settings, environment), name=f"hms-search-{self.slot}"
        )
        self._process.start()
        theirs.close()


def start_workers(n_workers: int, settings: WorkerSettings) -> list[Worker]:
    """Return ``n_workers`` started workers; the CPU's threads and the GPUs are shared out among them."""
    threads = threads_of_each(n_workers)
    n_gpus = torch.cuda.device_count() if settings.device in {"auto", "cuda"} else 0
    gpus = [slot % n_gpus if n_gpus > 1 else None for slot in range(n_workers)]
    return [Worker(slot, replace(settings, threads=threads, crew=n_workers), gpu=gpu) for slot, gpu in enumerate(gpus)]


def lag_of(crew: int) -> float:
    """Return within how many seconds each of a session's workers tells MLflow what it began: 50 ms for each other one.

    That a trial begins takes MLflow about as much of a processor (docs/decisions.md, 2026-11-22).
    """
    return 0.05 * (crew - 1)


def warm_up() -> None:
    """Start the process that workers are forked from, which takes seconds to import what they need; do not wait."""
    ensure_running()


def serve(connection: Connection, settings: WorkerSettings) -> None:
    """Run trials until told to stop or until the coordinator is gone."""
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    context = _open(settings)
    with suppress(TrackingError):  # where it is away now, trials are told later
        context.tracker.study_run()  # connects, which takes a second, before a trial waits for it
    speech = Speech(connection)
    while (job := speech.hear()) is not None:
        ended = _run(job, context, speech)
        return_freed_memory()
        speech.say(ended)
    context.tracker.send_waiting()


class Speech:
    """A worker's end of its pipe, on which two threads speak: the one that trains and the one that tells MLflow.

    Nothing is raised where the coordinator is gone: who awaits a word finds out.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._turn = connection, Lock()
        self._is_over = False

    def ask(self, ended: EpochEnded) -> Verdict:
        """Say that an epoch has ended, and await what is to be done."""
        self.say(ended)
        verdict: Verdict | None = self.hear()
        return verdict or "interrupt"  # where it is over: end the trial's MLflow run, then the process

    def hear(self) -> Any:
        """Await a word of the coordinator's; None, now and ever after, once it told the worker to leave, or is gone."""
        try:
            word = None if self._is_over else self._connection.recv()
        except (EOFError, OSError):  # the latter also in the middle of a word
            word = None
        self._is_over = word is None
        return word

    def say(self, message: Message) -> None:
        """Say something."""
        with self._turn, suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)


def _reason(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; the machine was probably out of memory" if name == "SIGKILL" else ""
        return f"the worker process was killed ({name}){hint}"
    return f"the worker process ended with exit code {exit_code}; its traceback stands above"


def _environment(gpu: int | None) -> dict[str, str]:
    """Return the environment of a worker, which sees one GPU only where one is named."""
    environment = dict(os.environ)
    if gpu is not None:
        before = environment.get("CUDA_VISIBLE_DEVICES")
        shown = before.split(",") if before else [str(index) for index in range(torch.cuda.device_count())]
        environment["CUDA_VISIBLE_DEVICES"] = shown[gpu]
    return environment


def _be_worker(connection: Connection, settings: WorkerSettings, environment: Mapping[str, str]) -> None:
    """Be the process of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's: it ends trials after their epoch
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # so is a scheduler's word to all processes of a job
    os.environ.clear()  # that of the process it was forked from
    os.environ.update(environment)  # before CUDA is first touched
    gc.freeze()  # what is imported stays
    serve(connection, settings)


def _run(job: Job, context: TrialContext, speech: Speech) -> TrialEnded:
    try:
        return run_trial(job, context, on_start=speech.say, on_epoch=speech.ask)
    except HmsSearchError as error:  # tracking broke: the trial is lost, the reason is not
        return TrialEnded(job.number, "failed", run_id="", seconds=0.0, reason=str(error))


def _open(settings: WorkerSettings) -> TrialContext:
    plan = plan_folds(settings.folds, settings.store, order=settings.order)
    if plan.fingerprint != settings.folds_fingerprint:
        raise StudyError(
            f"the worker's folds ({plan.fingerprint}) are not the coordinator's ({settings.folds_fingerprint}): "
            "the Store changed underneath; start the study again"
        )
    levels = TASKS[settings.store.task].levels
    return TrialContext(
        store=settings.store,
        plan=plan,
        level=level_of(settings.folds),
        other=plan_folds(counterpart(settings.folds), settings.store) if levels else None,
        tracker=open_journaled(
            settings.tracking_uri,
            settings.artifacts,
            settings.journals,
            study=settings.study,
            lag_s=lag_of(settings.crew),
        ),
        parent_id=settings.parent_id,
        study=settings.study,
        objective=settings.objective,
        device=settings.device,
        work=settings.work,
        wanted=settings.wanted,
    )
