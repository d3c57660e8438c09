"""A tracker that no outage stops: each run has a journal on this machine, which is sent to MLflow as soon as can be.

    Run.log, finish, ... --> RunJournal --> MlflowTracker
                          at once       while MLflow answers; else later, by whoever comes next

An entry may be sent twice, where a process died between sending it and keeping that it did: runs are found again by
their key, and metrics by their time, so it is kept once.

A session that is taken for dead may wake up, or its journal be sent late, when another one has gone on with the run.
What it then says of the run is left out, but for metrics: the study's record counts how often a trial is gone on with,
and its run carries that number, as do the entries of each leg.
"""

import logging
import math
import shlex
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from random import Random
from shutil import rmtree
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import uuid4

from hms_search.errors import DataError, TrackingError
from hms_search.tracking.address import destination, is_refusal, sqlite_path, sync_line, without_password
from hms_search.tracking.contract import Kind, Outcome, Waiting
from hms_search.tracking.journal import Entry, RunJournal, Sent
from hms_search.tracking.mlflow_run import Logged, MlflowRun, RefusedError, UnknownRunError
from hms_search.tracking.mlflow_runs import MlflowTracker, RunStart
from hms_search.tracking.run_ids import LOCAL

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE_S = 5.0
"""Between two attempts to reach an MLflow that is away: training goes on meanwhile."""
_SURE = 2
"""So many journals in turn find MLflow away where it is."""
_REASONS = 3
"""So many reasons of one study are said."""
_TOGETHER_S = 5.0
"""Metrics that follow what was last sent so closely are sent with what comes next."""
_SILENT_S = 50.0
"""A session that says nothing for so long is taken for dead: others may have gone on with its trials meanwhile."""


@dataclass(frozen=True)
class _Attempt:
    """What came of sending a journal: the run's id or nothing, and what kept it from being sent.

    It ``is_away`` where that is MLflow, which keeps others from being sent, too.
    """

    run_id: str = ""
    reason: str = ""
    is_unknown: bool = False
    is_away: bool = False


class JournaledTracker:
    """A study's tracker whose runs are written to ``folder`` first; any number of processes share it.

    ``connect`` returns the tracker that they are sent to; it is called when there is something to send, and again
    after a failure. With ``lag_s`` a thread sends what was written, in turn and each at a moment within so many
    seconds, and nobody waits: many workers do not send at once what they began together.
    ``to`` names it, as :func:`kept_destination` does: what was written for another one is not sent, unless that is
    among ``also``.
    """

    def __init__(
        self,
        connect: Callable[[], MlflowTracker],
        folder: Path,
        *,
        lag_s: float | None = None,
        to: str = "",
        also: Collection[str] = (),
    ) -> None:
        self._connect, self.folder, self._to = connect, folder, to
        self._takes = {"", to, *also}
        self._aside = None if lag_s is None else ThreadPoolExecutor(1, thread_name_prefix="mlflow")
        self._lag_s, self._moments, self._is_awaited = lag_s or 0.0, Random(), threading.Event()
        self._is_behind = False
        self._connected: MlflowTracker | None = None
        self._not_before = 0.0
        self._outage = ""

    @property
    def direct(self) -> MlflowTracker:
        """The tracker without a journal; raises TrackingError where MLflow does not answer."""
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    def start_study(self, *, tags: Mapping[str, str], texts: Mapping[str, str]) -> str:
        """Return the id of the study's own run; raises TrackingError where MLflow does not answer."""
        return self.direct.start_study(tags=tags, texts=texts)

    def study_run(self) -> str:
        """Return the id of the run of a study that was run before."""
        return self.direct.study_run()

    def start_run(
        self,
        name: str,
        *,
        parent_id: str | None,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        texts: Mapping[str, str],
        kind: Kind = "trial",
    ) -> "JournaledRun":
        """Return a new open run."""
        key = uuid4().hex
        run = JournaledRun(self, RunJournal(self.folder / key, self._to), leg=0)
        content = {"name": name, "parent_id": parent_id, "tags": dict(tags), "kind": kind, "key": key}
        shown = {key: str(value) for key, value in params.items()}
        run.tell("start", {**content, "params": shown}, {name: text.encode() for name, text in texts.items()})
        return run

    def resume_run(self, run_id: str, *, leg: int) -> "JournaledRun":
        """Return a run that was paused, open again."""
        run = self._run(run_id, leg)
        run.tell("resume", {})
        return run

    def open_run(self, run_id: str) -> MlflowRun | None:
        """Return a run that an earlier process left open; None where it has ended."""
        return self.direct.open_run(run_id)

    def add(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Add metrics and files to a run that has ended."""
        self._run(run_id).tell("add", {"metrics": _floats(metrics)}, files)

    def end_orphan(self, run_id: str, reason: str, *, failed: bool, leg: int) -> None:
        """End a run whose process died: as ``failed``, else as ``interrupted``."""
        self._run(run_id, leg).finish("failed" if failed else "interrupted", reason=reason, metrics={}, files={})

    def end_orphans(
        self, tags: Mapping[str, Collection[str]], reason: str = "", *, outcome: Outcome = "interrupted"
    ) -> None:
        """End the open runs that have each tag with one of its values, whose process died, with their ``outcome``."""
        self.direct.end_orphans(tags, reason, outcome=outcome)

    def finish_study(
        self, parent_id: str, *, metrics: Mapping[str, float], table: Sequence[Mapping[str, object]]
    ) -> None:
        """End this session of the study."""
        run = self._run(parent_id)
        run.tell("finish_study", {"metrics": _floats(metrics), "table": [dict(row) for row in table]})

    def soon(self, send: Callable[[], T]) -> "Future[T]":
        """Have something sent: by the thread that does it aside, at a moment of its own, or now."""
        if self._aside is not None:
            moment = time.monotonic() + self._moments.uniform(0.0, self._lag_s)
            sending = self._aside.submit(self._at, moment, send)
            sending.add_done_callback(_report)
            return sending
        done: Future[T] = Future()
        done.set_result(send())
        return done

    def wait_for(self, sending: "Future[T]") -> T:
        """Wait until something is sent, which is done at once, as is all before it."""
        self._is_awaited.set()
        try:
            return sending.result()
        finally:
            self._is_awaited.clear()

    def _at(self, moment: float, send: Callable[[], T]) -> T:
        self._is_awaited.wait(moment - time.monotonic())
        return send()

    def send(self, journal: RunJournal, *, late: bool = False) -> str:
        """Send what is new in a journal; return MLflow's id of the run where it now knows all of it, else nothing.

        For some seconds after a failed attempt nothing is tried. ``late`` says that others may have gone on with the
        trial since it was written.
        """
        return self._attempt(journal, insist=False, late=late).run_id

    def catch_up(self) -> None:
        """Send what is left of all runs where some could not be sent before, and MLflow answers again."""
        if self._is_behind and not self._outage:
            self._is_behind = False
            self._send_waiting(insist=False)

    def send_waiting(self, *, insist: bool = False) -> Waiting:
        """Send what is left of all runs of the study, those of dead processes included; return what then still is.

        For some seconds after a failed attempt nothing is tried, unless told to ``insist``.
        """
        return self.wait_for(self.soon(partial(self._send_waiting, insist=insist)))

    def _attempt(self, journal: RunJournal, *, insist: bool, late: bool) -> _Attempt:
        if time.monotonic() < self._not_before and not insist:
            return _Attempt(reason=self._outage, is_away=True)
        try:
            with journal.sending() as is_held:
                if not is_held:
                    self._is_behind |= journal.is_there  # another process is sending it, which may die
                    return _Attempt()
                self._check_destination(journal)
                run_id = _send(journal, self.direct, late=late)
        except UnknownRunError as error:
            reason = f"{error}; where that is lost for good, remove {journal.folder}, and with it what waits"
            return _Attempt(reason=reason, is_unknown=True)
        except (DataError, RefusedError) as error:  # of this journal alone
            return _Attempt(reason=str(error))
        except TrackingError as error:
            if not self._outage:
                logger.warning("%s: metrics are kept in %s until then", error, self.folder)
            self._not_before, self._outage, self._connected = time.monotonic() + _PAUSE_S, str(error), None
            self._is_behind = True
            return _Attempt(reason=self._outage, is_away=True)
        self._not_before, self._outage = 0.0, ""
        return _Attempt(run_id)

    def _check_destination(self, journal: RunJournal) -> None:
        """Raise RefusedError where what is left of a journal is another MLflow's."""
        written_for = journal.written_for
        if written_for not in self._takes and journal.is_behind:
            other = destination(written_for, self.folder)
            user = "" if sqlite_path(other) else " (with its user and password, if it has some)"
            raise RefusedError(
                f"it was written for another MLflow: {sync_line(other)}{user}; where that one's address is another "
                f"now, name both: hms-search sync --tracking-uri ... --from {shlex.quote(other)}"
            )

    def _send_waiting(self, *, insist: bool) -> Waiting:
        tried = [one for one in self._attempts(insist=insist) if not one[1].run_id]
        left = [
            attempt
            for journal, attempt in tried
            if (journal.is_behind if attempt.is_away else journal.is_there)  # else it was sent
        ]
        for gone in self.folder.glob(".*"):
            rmtree(gone, ignore_errors=True)
        different = list(dict.fromkeys(attempt.reason for attempt in left if attempt.reason))
        more = [f"and {len(different) - _REASONS} more of this kind"] if len(different) > _REASONS else []
        unknown = sum(attempt.is_unknown for attempt in left)
        return Waiting(len(left), "; ".join([*different[:_REASONS], *more]), unknown)

    def _attempts(self, *, insist: bool) -> Iterator[tuple[RunJournal, _Attempt]]:
        """Send the journals, none any more once MLflow was found away: to find that out takes up to ten seconds.

        It is so where two in turn say so: one may be what it does not answer to.
        """
        attempt, away = _Attempt(), 0
        for journal in self._journals():
            if away < _SURE:
                attempt = self._attempt(journal, insist=insist, late=True)
                away = away + 1 if attempt.is_away else 0
            yield journal, attempt

    def _run(self, run_id: str, leg: int | None = None) -> "JournaledRun":
        """Return a run by the id that it had when it was last seen."""
        for journal in self._journals():
            if run_id in (journal.sent.run_id, LOCAL + journal.folder.name):
                return JournaledRun(self, journal, leg=leg)
        return JournaledRun(self, RunJournal(self.folder / uuid4().hex, self._to), run_id, leg=leg)

    def _journals(self) -> Iterator[RunJournal]:
        found = (RunJournal(folder, self._to) for folder in sorted(self.folder.glob("[!.]*")))
        return (journal for journal in found if journal.is_there)


class JournaledRun:
    """The open run of one trial; every call is first written to its journal, then sent if MLflow can be reached.

    Metrics of short epochs wait for those of the next ones: MLflow takes as long for many as for few. Without a ``leg``
    nothing is told that one who goes on with the trial could have told otherwise.
    """

    def __init__(self, tracker: JournaledTracker, journal: RunJournal, known_as: str = "", *, leg: int | None) -> None:
        self._tracker, self._journal, self._leg = tracker, journal, leg
        self._id = known_as or journal.sent.run_id
        self._sent_at = -math.inf
        self._first: Future[None] | None = None
        self._telling: list[Future[None]] = []

    @property
    def id(self) -> str:
        """MLflow's id of the run, or one of its own until MLflow has given it one."""
        return self._id or self._journal.sent.run_id or LOCAL + self._journal.folder.name

    def when_named(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the run's id, and again where MLflow then gives it one of its own."""
        name, told = self.id, Future[None]()
        tell(name)
        self._telling.append(told)

        def now(_: object) -> None:
            try:
                if self.id != name:
                    tell(self.id)
            finally:
                told.set_result(None)

        self._first_attempt().add_done_callback(now)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of one epoch."""
        self._append("log", {"metrics": _floats(metrics), "step": step})
        if time.monotonic() > self._sent_at + _TOGETHER_S:
            self._send()

    def pause(self, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Say that the trial waits."""
        self.tell("pause", {}, files)
        self._wait_until_known()

    def finish(
        self, outcome: Outcome, *, reason: str = "", metrics: Mapping[str, float], files: Mapping[str, bytes]
    ) -> None:
        """End the run; its id is then known, if MLflow can be reached."""
        self.tell("finish", {"outcome": outcome, "reason": reason, "metrics": _floats(metrics)}, files)
        self._wait_until_known()

    def tell(self, kind: str, content: Mapping[str, object], files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Write an entry and send it."""
        self._append(kind, content, files)
        self._send()

    def _append(
        self, kind: str, content: Mapping[str, object], files: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        known_as = "" if kind == "start" else self.id
        self._journal.append(kind, content, files, known_as=known_as, leg=self._leg)

    def _send(self) -> None:
        sent_at, self._sent_at = self._sent_at, time.monotonic()
        sending = self._tracker.soon(partial(self._send_now, late=self._sent_at > sent_at + _SILENT_S))
        self._first = self._first or sending

    def _send_now(self, *, late: bool) -> None:
        self._id = self._tracker.send(self._journal, late=late) or self._id
        self._tracker.catch_up()

    def _wait_until_known(self) -> None:
        """Return once who asked for the id has been told: a future wakes those who wait before it calls back."""
        self._tracker.wait_for(self._first_attempt())
        for told in self._telling:
            told.result()

    def _first_attempt(self) -> "Future[None]":
        assert self._first is not None
        return self._first


def _report(sending: "Future[T]") -> None:
    if (error := sending.exception()) is not None:
        logger.error("MLflow was not told: %s", error, exc_info=error)


_LAST = {"finish", "finish_study", "add"}
"""After these nothing more comes: what has been sent need not be kept."""


def _send(journal: RunJournal, tracker: MlflowTracker, *, late: bool) -> str:
    sent, entries = journal.sent, journal.entries()
    run_id, done = sent.run_id, sent.entries
    for together in _together(entries[done:]):
        if together[0].kind == "start":
            journal.keep_sent(Sent(run_id, done, tried=True))
        with _of_this_run(journal, together[-1]):
            if still := _not_overtaken(tracker, run_id, together, late=late):
                run_id = _told(tracker, run_id, still, again=sent.tried)
        done += len(together)
        journal.keep_sent(Sent(run_id, done))
    if entries and entries[-1].kind in _LAST:
        journal.remove(len(entries))
    return run_id


@contextmanager
def _of_this_run(journal: RunJournal, last: Entry) -> Iterator[None]:
    """Raise RefusedError where MLflow takes nothing of a run that it knew: others are not to wait for that."""
    try:
        yield
    except TrackingError as error:
        if last.kind == "start" or not is_refusal(error):
            raise
        raise RefusedError(
            f"MLflow refuses it: {without_password(' '.join(str(error.__cause__).split()))}; where the run was removed "
            f"on purpose, remove {journal.folder}, and with it what waits"
        ) from error


def _together(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Give the entries that MLflow is told at once: metrics that follow each other, and the end with those before."""
    logs: list[Entry] = []
    for entry in entries:
        if entry.kind == "log":
            logs.append(entry)
        elif entry.kind == "finish":
            yield [*logs, entry]
            logs = []
        else:
            yield from filter(None, (logs, [entry]))
            logs = []
    yield from filter(None, [logs])


def _not_overtaken(tracker: MlflowTracker, run_id: str, entries: list[Entry], *, late: bool) -> list[Entry]:
    """Return the entries without what is told of an earlier leg than the run's, with which somebody else has gone on.

    Of such a leg's metrics those are left that the run lacks: whoever goes on after a checkpoint may have come to the
    same epochs.
    """
    if not any(_may_be_overtaken(entry, late=late) for entry in entries):
        return entries
    run = tracker.known(run_id)
    leg, steps, still = run.leg(), cache(run.steps), []
    for entry in entries:
        if entry.leg is None or entry.leg >= leg:
            still.append(entry)
        elif entry.kind == "log" and (lacking := _lacking(entry.content, steps)):
            still.append(replace(entry, content={**entry.content, "metrics": lacking}))
    if still != entries:
        logger.warning(
            "run %s: another session has gone on with it, of what this one told later only metrics count", run_id
        )
    return still


def _lacking(content: Mapping[str, Any], steps: Callable[[str], set[int]]) -> dict[str, float]:
    """Return the metrics of an epoch that a run has not at its step, where it has them at these ``steps``."""
    return {key: value for key, value in content["metrics"].items() if content["step"] not in steps(key)}


def _may_be_overtaken(entry: Entry, *, late: bool) -> bool:
    """Say whether MLflow is asked for the run's leg before it is told an entry.

    Not at an epoch that follows another: it costs a request. Nor where a first leg ends: who ends that trial in its
    stead runs it again in another run, and what its own process says tells more. But a first leg's pause would leave a
    run that was ended waiting for ever.
    """
    if entry.leg is None or entry.kind == "start":
        return False
    return entry.kind in {"resume", "pause"} or (entry.leg > 0 and (late or entry.kind == "finish"))


def _told(tracker: MlflowTracker, run_id: str, entries: Sequence[Entry], *, again: bool) -> str:
    """Tell MLflow an entry, with the ``log`` entries before it; return the run's id."""
    last = entries[-1]
    content = dict(last.content)
    files = {name: path.read_bytes() for name, path in last.files.items()}
    if last.kind == "start":
        return tracker.open(RunStart(**content, files=files, at_ms=last.at_ms, again=again)).id
    run = tracker.known(run_id)
    logs = [entry for entry in entries if entry.kind == "log"]
    logged = [Logged(entry.content["metrics"], entry.content["step"], entry.at_ms) for entry in logs]
    if last.kind == "log":
        run.log_all(logged)
    elif last.kind == "resume":
        run.resume(last.leg)
    elif last.kind == "pause":
        run.pause(files)
    elif last.kind == "finish":
        run.finish(**content, files=files, at_ms=last.at_ms, logged=logged, leg=last.leg)
    elif last.kind == "add":
        tracker.add(run.id, metrics=content["metrics"], files=files)
    elif last.kind == "finish_study":
        tracker.finish_study(run_id, **content)
    else:
        raise TrackingError(f"a journal's entry is of a kind that this version does not know: {last.kind!r}")
    return run.id


def _floats(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics as JSON takes them: NumPy's numbers are none."""
    return {name: float(value) for name, value in metrics.items()}
