"""A tracker with journals: what MLflow knows in the end is the same, whatever was away or died in between."""

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as StoredRun

from hms_search.errors import TrackingError
from hms_search.servers import free_port
from hms_search.tracking import JournaledTracker, MlflowTracker, Outcome, RunReader, Tracker, open_journaled
from hms_search.tracking.journal import RunJournal, Sent
from hms_search.tracking.journaled import JournaledRun
from hms_search.tracking.mlflow_run import MlflowRun
from hms_search.tracking.mlflow_runs import RunStart
from hms_search.tracking.server import mlflow_server

PNG = b"\x89PNG not really"
EPOCHS = 4


class Place:
    """A store in a folder; while ``away`` nothing reaches it."""

    def __init__(self, folder: Path) -> None:
        self.uri, self.artifacts, self.journals = f"sqlite:///{folder}/mlflow.db", folder / "artifacts", folder / "out"
        self.away = False

    def tracker(self) -> JournaledTracker:
        return JournaledTracker(self._connect, self.journals)

    def _connect(self) -> MlflowTracker:
        if self.away:
            raise TrackingError("MLflow is away")
        return MlflowTracker(self.uri, self.artifacts, study="effnet")

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)

    def children(self) -> list[StoredRun]:
        experiment = self.client.get_experiment_by_name("effnet")
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id], "tags.kind = 'trial'"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("empty")
    _ = Place(folder).tracker().direct
    return folder


@pytest.fixture
def place(tmp_path: Path, database: Path) -> Place:
    for file in database.glob("mlflow.db*"):
        shutil.copy(file, tmp_path)
    return Place(tmp_path)


def begin(tracker: Tracker, parent_id: str, number: int = 0) -> str:
    """Tell all of a trial; return the id that its run had last."""
    tags = {"trial": str(number)}
    run = tracker.start_run(
        f"trial {number}", parent_id=parent_id, params={"lr": 1e-3}, tags=tags, texts={"config.yaml": "a: 1\n"}
    )
    for epoch in range(EPOCHS):
        run.log({"kl_all/fold0": np.float32(1 / (epoch + 2)), "kl_all/fold1": math.inf}, step=epoch)
    run.finish("complete", metrics={"kl_all": 0.25}, files={"learning_curve.png": PNG})
    return run.id


def check(place: Place, run: StoredRun) -> None:
    """Check that a run has all that was told, once."""
    assert (run.info.status, run.data.tags["state"], run.data.params) == ("FINISHED", "complete", {"lr": "0.001"})
    assert run.data.metrics["kl_all"] == 0.25
    for fold in range(2):
        points = place.client.get_metric_history(run.info.run_id, f"kl_all/fold{fold}")
        assert [point.step for point in sorted(points, key=lambda point: point.step)] == list(range(EPOCHS))
    reader = RunReader(place.uri)
    assert reader.file(run.info.run_id, "learning_curve.png") == PNG
    assert reader.file(run.info.run_id, "config.yaml") == b"a: 1\n"


def forget_failure(tracker: JournaledTracker) -> None:
    tracker._not_before = 0.0


def test_while_mlflow_answers_nothing_is_left_on_the_disk(place: Place) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    run_id = begin(tracker, parent_id)
    (run,) = place.children()
    assert run.info.run_id == run_id
    assert run.data.tags["mlflow.parentRunId"] == parent_id
    check(place, run)
    assert list(place.journals.iterdir()) == []
    tracker.finish_study(parent_id, metrics={"best_value": 0.7}, table=[{"trial": 0, "value": 0.25, "run_id": run_id}])
    assert list(place.journals.iterdir()) == []
    parent = place.client.get_run(parent_id)
    assert (parent.info.status, parent.data.metrics["best_value"]) == ("FINISHED", 0.7)


def test_metrics_of_short_epochs_are_told_together_and_those_of_long_ones_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = place.tracker()
    parent = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent, params={}, tags={"trial": "0"}, texts={})

    def known() -> int:
        return len(place.client.get_metric_history(run.id, "kl_all/fold0"))

    run.log({"kl_all/fold0": 1.0}, step=0)
    run.log({"kl_all/fold0": 0.9}, step=1)
    assert known() == 0
    monkeypatch.setattr("hms_search.tracking.journaled._TOGETHER_S", 0.0)
    run.log({"kl_all/fold0": 0.8}, step=2)
    assert known() == 3
    run.log({"kl_all/fold0": 0.7}, step=3)
    assert known() == 4
    monkeypatch.undo()
    run.log({"kl_all/fold0": 0.6}, step=4)
    run.finish("complete", metrics={"kl_all": 0.6}, files={})
    values = place.client.get_metric_history(run.id, "kl_all/fold0")
    assert [(metric.step, metric.value) for metric in values] == [(0, 1.0), (1, 0.9), (2, 0.8), (3, 0.7), (4, 0.6)]


def test_an_outage_delays_what_is_told_and_the_times_are_those_of_the_trial(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    tracker._connected, place.away = None, True
    began = time.time_ns() // 1_000_000
    ids = [begin(tracker, parent_id, number) for number in range(2)]
    ended = time.time_ns() // 1_000_000
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"MLflow is away: metrics are kept in {place.journals} until then"
    ]
    assert (place.children(), tracker.send_waiting(insist=True).runs) == ([], 2)
    with pytest.raises(TrackingError, match="hms-search sync sends it"):
        RunReader(place.uri).record(ids[0])
    time.sleep(0.01)
    place.away = False
    assert place.tracker().send_waiting().runs == 0
    runs = sorted(place.children(), key=lambda run: run.data.tags["trial"])
    for run, local_id in zip(runs, ids, strict=True):
        check(place, run)
        assert began <= run.info.start_time <= run.info.end_time <= ended
        assert RunReader(place.uri).record(local_id).id == run.info.run_id
        assert len(RunReader(place.uri).curve(local_id, "kl_all/fold0")) == EPOCHS
    assert list(place.journals.iterdir()) == []


@pytest.mark.parametrize("sent", range(EPOCHS + 2))
def test_a_journal_that_is_sent_again_from_anywhere_changes_nothing(place: Place, sent: int, tmp_path: Path) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    tracker._connected, place.away = None, True
    begin(tracker, parent_id)
    (journal,) = place.journals.iterdir()
    shutil.copytree(journal, tmp_path / "copy")
    place.away = False
    assert place.tracker().send_waiting().runs == 0
    shutil.copytree(tmp_path / "copy", journal)
    run_id = place.children()[0].info.run_id if sent else ""
    RunJournal(journal).keep_sent(Sent(run_id, sent, tried=not sent))
    assert place.tracker().send_waiting().runs == 0
    (run,) = place.children()
    check(place, run)


def test_told_aside_a_trial_does_not_wait_for_mlflow_and_nothing_is_missing(place: Place) -> None:
    parent_id = place.tracker().start_study(tags={}, texts={})
    answers = threading.Event()

    def connect() -> MlflowTracker:
        answers.wait()
        return place.tracker().direct

    tracker = JournaledTracker(connect, place.journals, lag_s=0.0)
    known: list[tuple[str, str]] = []
    run = tracker.start_run(
        "trial 0", parent_id=parent_id, params={"lr": 1e-3}, tags={"trial": "0"}, texts={"config.yaml": "a: 1\n"}
    )
    run.when_named(lambda run_id: known.append((run_id, threading.current_thread().name)))
    for epoch in range(EPOCHS):
        run.log({"kl_all/fold0": 1 / (epoch + 2), "kl_all/fold1": math.inf}, step=epoch)
    here = threading.current_thread().name
    assert (run.id.startswith("local-"), known, place.children()) == (True, [(run.id, here)], [])
    threading.Timer(0.1, answers.set).start()
    run.finish("complete", metrics={"kl_all": 0.25}, files={"learning_curve.png": PNG})
    assert [run_id for run_id, _ in known[1:]] == [run.id]
    assert known[1][1].startswith("mlflow")
    assert tracker.send_waiting().runs == 0
    (stored,) = place.children()
    assert stored.info.run_id == run.id
    check(place, stored)


@pytest.mark.parametrize("awaits", ["finish", "pause", "send_waiting"])
def test_what_is_told_aside_waits_for_a_moment_of_its_own_unless_somebody_waits_for_it(
    place: Place, awaits: str
) -> None:
    parent_id = place.tracker().start_study(tags={}, texts={})
    tracker = JournaledTracker(lambda: place.tracker().direct, place.journals, lag_s=600.0)
    run = tracker.start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={})
    run.log({"kl": 1.0}, step=0)
    time.sleep(0.3)
    assert (run.id.startswith("local-"), place.children()) == (True, [])
    began = time.monotonic()
    if awaits == "finish":
        run.finish("complete", metrics={"kl_all": 0.5}, files={})
    elif awaits == "pause":
        run.pause()
    assert tracker.send_waiting().runs == 0
    assert time.monotonic() - began < 60  # of minutes that its moment is away
    (stored,) = place.children()
    assert (run.id, stored.data.metrics["kl"]) == (stored.info.run_id, 1.0)


def test_a_run_whose_process_died_before_mlflow_was_told_is_ended_by_its_first_name(place: Place) -> None:
    session = place.tracker()
    parent_id = session.start_study(tags={}, texts={})
    worker = JournaledTracker(lambda: place.tracker().direct, place.journals, lag_s=600.0)
    named: list[str] = []
    worker.start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={}).when_named(named.append)
    session.end_orphan(*named, "the worker process was killed (SIGKILL)", failed=False, leg=1)
    assert worker.send_waiting().runs == 0  # what is left of it says nothing more
    (stored,) = place.children()
    assert (stored.info.status, stored.data.tags["state"]) == ("KILLED", "interrupted")
    assert "SIGKILL" in stored.data.tags["reason"]


def test_a_run_whose_beginning_lies_on_a_machine_that_is_gone_is_counted_apart(place: Place, tmp_path: Path) -> None:
    session = place.tracker()
    parent_id = session.start_study(tags={}, texts={})
    lost = JournaledTracker(lambda: place.tracker().direct, tmp_path / "lost", lag_s=600.0)
    run = lost.start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={})
    session.end_orphan(run.id, "its session died", failed=False, leg=1)
    left = session.send_waiting(insist=True)
    (folder,) = place.journals.iterdir()
    assert (left.runs, left.unknown, left.untold) == (1, 1, 0)
    assert f"remove {folder}" in left.reason
    place.away = True
    left = place.tracker().send_waiting(insist=True)
    assert (left.runs, left.unknown, left.untold) == (1, 0, 1)
    place.away = False
    assert lost.send_waiting().runs == 0  # it comes back
    assert session.send_waiting(insist=True).runs == 0
    (stored,) = place.children()
    assert (stored.info.status, stored.data.tags["reason"]) == ("KILLED", "its session died")


def test_a_long_trial_that_ends_is_told_whole(place: Place) -> None:
    tracker = place.tracker()
    run = tracker.start_run("trial 0", parent_id=tracker.start_study(tags={}, texts={}), params={}, tags={}, texts={})
    for step in range(1500):  # MLflow takes 1,000 metrics at once
        run.log({"kl": float(step)}, step=step)
    run.finish("complete", metrics={"kl_all": 0.25}, files={})
    assert RunReader(place.uri).curve(run.id, "kl") == tuple((step, float(step)) for step in range(1500))
    assert place.client.get_run(run.id).data.metrics["kl_all"] == 0.25


def test_when_mlflow_answers_again_what_others_left_is_sent_too(place: Place) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={})
    tracker._connected, place.away = None, True
    run.log({"kl": 1.0}, step=0)
    forget_failure(tracker)
    begin(tracker, parent_id, 1)
    place.away = False
    forget_failure(tracker)
    run.finish("complete", metrics={}, files={})
    assert {child.data.tags["state"] for child in place.children()} == {"complete"}
    assert list(place.journals.iterdir()) == []


WRITER = """
import sys, time
from pathlib import Path
from hms_search.tracking.journal import RunJournal
journal = RunJournal(Path(sys.argv[1]))
journal.append("start", {"name": "trial 0", "parent_id": None, "params": {}, "tags": {}, "kind": "trial", "key": "k"})
for step in range(100_000):
    journal.append("log", {"metrics": {"kl": float(step)}, "step": step})
    print(step, flush=True)
"""


def test_of_a_killed_process_every_metric_that_was_told_arrives(place: Place) -> None:
    place.tracker().start_study(tags={}, texts={})
    folder = place.journals / "k"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    told = int([*lines, *process.stdout.readlines()][-1])
    process.wait()
    process.stdout.close()
    os.truncate(folder / "journal.jsonl", (folder / "journal.jsonl").stat().st_size - 3)  # as if it died while writing
    RunJournal(folder).append("log", {"metrics": {"kl": -1.0}, "step": 10**6})
    tracker = place.tracker()
    assert tracker.send_waiting().runs == 0
    tracker.end_orphan("local-k", "its session died", failed=False, leg=1)
    (run,) = place.children()
    steps = [step for step, _ in RunReader(place.uri).curve(run.info.run_id, "kl")]
    assert steps[:-1] == list(range(len(steps) - 1))
    assert (len(steps) - 1 >= told, steps[-1]) == (True, 10**6)
    assert (run.info.status, run.data.tags["reason"]) == ("KILLED", "its session died")


SENDER = """
import os, sys
from pathlib import Path
from hms_search.tracking import JournaledTracker, MlflowTracker

class Dying(MlflowTracker):
    def open(self, start):
        super().open(start)
        os.kill(os.getpid(), 9)

folder = Path(sys.argv[1])
connect = lambda: Dying(f"sqlite:///{folder}/mlflow.db", folder / "artifacts", study="effnet")
JournaledTracker(connect, folder / "out").start_run("trial 0", parent_id=None, params={}, tags={}, texts={})
"""


def test_a_process_that_dies_between_creating_a_run_and_keeping_its_id_creates_no_second(place: Place) -> None:
    place.tracker().start_study(tags={}, texts={})
    died = subprocess.run([sys.executable, "-c", SENDER, str(place.journals.parent)], check=False)
    assert died.returncode == -signal.SIGKILL
    (journal,) = place.journals.iterdir()
    place.tracker().end_orphan(f"local-{journal.name}", "its process died", failed=True, leg=1)
    (run,) = place.children()
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "its process died")


def test_a_process_that_dies_as_it_removes_what_was_sent_lets_nothing_be_sent_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})

    def dies(folder: Path, **_: object) -> None:
        (folder / "sent.json").unlink()

    monkeypatch.setattr("hms_search.tracking.journal.shutil", SimpleNamespace(rmtree=dies))
    begin(tracker, parent_id)
    assert len(list(place.journals.rglob("journal.jsonl"))) == 1
    monkeypatch.undo()
    assert place.tracker().send_waiting().runs == 0
    (run,) = place.children()
    check(place, run)
    assert list(place.journals.iterdir()) == []


def test_what_is_told_as_another_process_removes_what_it_sent_arrives(place: Place) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={}, tags={}, texts={})
    journal = run._journal
    journal.append("log", {"metrics": {"kl": 0.5}, "step": 0})
    journal.remove(1)  # it has two
    assert len(journal.entries()) == 2
    journal.remove(2)
    assert not journal.is_there
    run.log({"kl": 0.25}, step=1)
    run.finish("complete", metrics={}, files={})
    (stored,) = place.children()
    assert RunReader(place.uri).curve(stored.info.run_id, "kl") == ((1, 0.25),)
    assert stored.info.status == "FINISHED"


def test_a_journal_that_has_been_sent_is_not_made_anew_and_no_reason_to_send_the_others(place: Place) -> None:
    tracker = place.tracker()
    run = tracker.start_run("trial 0", parent_id=None, params={}, tags={}, texts={})
    journal = run._journal
    run.finish("complete", metrics={}, files={})
    other = RunJournal(place.journals / "other")
    other.append("log", {"metrics": {"kl": 0.5}, "step": 0}, known_as="r")
    assert tracker.send(journal) == ""
    tracker.catch_up()
    with journal.sending() as is_held:
        assert not is_held
    assert list(place.journals.iterdir()) == [other.folder]
    assert len(other.entries()) == 1


WAITER = """
import sys, time
from pathlib import Path
from hms_search.tracking.journal import RunJournal
journal = RunJournal(Path(sys.argv[1]))
for step in range(1000):
    journal.append("log", {"metrics": {"kl": 0.5}, "step": step}, known_as="r")
    time.sleep(0.001)
"""


def test_no_entry_is_lost_that_comes_as_its_journal_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = RunJournal(tmp_path / "k")
    removed: list[list[int]] = []

    def seen(folder: Path, **_: object) -> None:
        removed.append([entry.content["step"] for entry in RunJournal(folder).entries()])
        shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr("hms_search.tracking.journal.shutil", SimpleNamespace(rmtree=seen))
    process = subprocess.Popen([sys.executable, "-c", WAITER, str(journal.folder)])
    while process.poll() is None or journal.is_there:
        if n := len(journal.entries()):
            journal.remove(n)
    assert process.returncode == 0
    assert len([steps for steps in removed if steps]) > 10
    assert [step for steps in removed for step in steps] == list(range(1000))


@pytest.mark.parametrize("outcome", ["complete", "pruned", "interrupted"])
def test_a_run_whose_end_was_not_told_ends_as_its_trial_did(place: Place, outcome: Outcome) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={"lr": 1e-3}, tags={"trial": "0"}, texts={})
    tracker.end_orphans({"kind": ["trial"], "trial": {"0"}}, outcome=outcome)
    (stored,) = place.children()
    status = {"complete": "FINISHED"}.get(outcome, "KILLED")
    assert (stored.info.status, stored.data.tags["state"], stored.data.tags.get("reason")) == (status, outcome, None)
    run.finish("complete", metrics={"kl_all": 0.25}, files={})  # it is told after all
    tracker.end_orphans({"kind": ["trial"], "trial": {"0"}}, outcome=outcome)
    (stored,) = place.children()
    assert stored.data.metrics == {"kl_all": 0.25}


def elsewhere(place: Place, folder: Path) -> Place:
    """Return the same store as a machine sees it that shares no folder."""
    other = Place(folder)
    other.uri, other.artifacts = place.uri, place.artifacts
    return other


def paused_run(tracker: JournaledTracker) -> str:
    parent_id = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={})
    run.log({"kl": 1.0}, step=0)
    run.pause()
    return run.id


def complete(run: JournaledRun) -> None:
    run.log({"kl": 0.5}, step=1)
    run.finish("complete", metrics={"kl_all": 0.5}, files={})


def check_complete(place: Place) -> None:
    (stored,) = place.children()
    tags = stored.data.tags
    assert (stored.info.status, tags["state"], tags.get("reason")) == ("FINISHED", "complete", None)
    assert stored.data.metrics["kl_all"] == 0.5


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    """Set the clock of whoever tells something from now on."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + int(ahead_s * 1e9))
    for module in ("journal", "mlflow_run"):
        monkeypatch.setattr(f"hms_search.tracking.{module}.time", clock)


@pytest.mark.parametrize("last", ["pause", "finish"])
@pytest.mark.parametrize("shares_files", [True, False])
def test_a_session_that_was_taken_for_dead_changes_nothing_of_a_run_that_another_one_completed(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    last: str,
    shares_files: bool,
) -> None:
    other = (place if shares_files else elsewhere(place, tmp_path / "other")).tracker()
    run_id = paused_run(other)
    suspended = place.tracker().resume_run(run_id, leg=1)
    other.resume_run(run_id, leg=2).pause()  # as a session takes it up
    complete(other.resume_run(run_id, leg=3))
    monkeypatch.setattr("hms_search.tracking.journaled._SILENT_S", 0.0)  # so long it slept
    monkeypatch.setattr("hms_search.tracking.journaled._TOGETHER_S", 0.0)
    suspended.log({"kl": 0.5}, step=1)
    suspended.pause() if last == "pause" else suspended.finish("interrupted", reason="stopped", metrics={}, files={})
    check_complete(place)
    assert RunReader(place.uri).curve(run_id, "kl") == ((0, 1.0), (1, 0.5))
    assert "another session has gone on with it" in caplog.text
    assert place.tracker().send_waiting(insist=True).runs == 0


@pytest.mark.parametrize("last", ["pause", "finish"])
@pytest.mark.parametrize("is_over", [True, False])
def test_what_a_dead_machine_had_not_sent_of_a_run_that_goes_on_elsewhere_is_metrics_only(
    place: Place, tmp_path: Path, last: str, is_over: bool
) -> None:
    run_id = paused_run(place.tracker())
    dead = elsewhere(place, tmp_path / "dead")
    dead.away = True
    run = dead.tracker().resume_run(run_id, leg=1)
    run.log({"kl": 1.5, "loss": 2.5}, step=0)  # one of them was logged when the other one did
    run.log({"kl": 0.75}, step=7)
    run.pause() if last == "pause" else run.finish("interrupted", reason="stopped", metrics={}, files={})
    goes_on = place.tracker().resume_run(run_id, leg=2)
    if is_over:
        complete(goes_on)
    dead.away = False
    assert dead.tracker().send_waiting(insist=True).runs == 0
    assert RunReader(place.uri).record(run_id).tags["state"] == ("complete" if is_over else "running")
    if not is_over:
        complete(goes_on)
    check_complete(place)
    assert RunReader(place.uri).curve(run_id, "kl") == ((0, 1.0), (1, 0.5), (7, 0.75))
    assert RunReader(place.uri).curve(run_id, "loss") == ((0, 2.5),)


@pytest.mark.parametrize("ahead_s", [0.0, -90.0])
@pytest.mark.parametrize("is_over", [True, False])
def test_a_first_pause_that_arrives_late_leaves_a_run_that_others_ended_as_it_is(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: float, is_over: bool
) -> None:
    dead = elsewhere(place, tmp_path / "dead")
    tracker = dead.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={})
    tracker._connected, dead.away = None, True
    run.pause()
    set_clock(monkeypatch, ahead_s)
    if is_over:
        complete(place.tracker().resume_run(run.id, leg=1))
    else:
        place.tracker().end_orphan(run.id, "its session died", failed=False, leg=1)
    set_clock(monkeypatch, 120.0)
    dead.away = False
    assert dead.tracker().send_waiting(insist=True).runs == 0
    if is_over:
        check_complete(place)
    (stored,) = place.children()
    assert stored.info.status == ("FINISHED" if is_over else "KILLED")


@pytest.mark.parametrize("set_back_s", [0.0, 120.0])
def test_a_trial_that_went_on_while_mlflow_was_away_arrives_whole_though_the_clock_was_set_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, set_back_s: float
) -> None:
    parent_id = place.tracker().start_study(tags={}, texts={})
    place.away = True
    set_clock(monkeypatch, -600.0)
    run = place.tracker().start_run("trial 0", parent_id=parent_id, params={}, tags={"trial": "0"}, texts={})
    run.log({"kl": 1.0}, step=0)
    run.pause()
    set_clock(monkeypatch, -500.0)
    place.tracker().resume_run(run.id, leg=1).pause()
    set_clock(monkeypatch, -480.0 - set_back_s)
    again = place.tracker().resume_run(run.id, leg=2)
    again.log({"kl": 0.5}, step=1)
    again.finish("complete", metrics={"kl_all": 0.5}, files={"learning_curve.png": PNG})
    set_clock(monkeypatch, 0.0)
    place.away = False
    assert place.tracker().send_waiting(insist=True).runs == 0
    check_complete(place)
    (stored,) = place.children()
    assert RunReader(place.uri).file(stored.info.run_id, "learning_curve.png") == PNG
    assert RunReader(place.uri).curve(stored.info.run_id, "kl") == ((0, 1.0), (1, 0.5))


def test_what_an_earlier_version_left_of_a_resumed_run_is_sent(place: Place, tmp_path: Path) -> None:
    run_id = paused_run(place.tracker())
    earlier = elsewhere(place, tmp_path / "earlier")
    earlier.away = True
    complete(earlier.tracker().resume_run(run_id, leg=1))
    (folder,) = earlier.journals.iterdir()
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [line.pop("leg") for line in lines] == [1, 1, 1]
    dated = [{**line, "resumed_ms": lines[0]["at_ms"]} for line in lines]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in dated))
    place.tracker().resume_run(run_id, leg=2).pause()
    earlier.away = False
    assert earlier.tracker().send_waiting().runs == 0
    check_complete(place)
    assert RunReader(place.uri).record(run_id).tags["hms_search.leg"] == "2"


def test_whose_a_run_is_is_asked_at_no_epoch_and_of_no_run_that_never_paused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def leg(run: MlflowRun) -> int:
        asked.append(run.id)
        return 0

    monkeypatch.setattr(MlflowRun, "leg", leg)
    monkeypatch.setattr("hms_search.tracking.journaled._TOGETHER_S", 0.0)
    tracker = place.tracker()
    begin(tracker, tracker.start_study(tags={}, texts={}))
    assert asked == []
    run_id = paused_run(tracker)
    run = tracker.resume_run(run_id, leg=1)
    assert asked == [run_id] * 2
    for epoch in range(EPOCHS):
        run.log({"kl": 1.0}, step=epoch)
    assert asked == [run_id] * 2
    run.finish("complete", metrics={}, files={})
    assert asked == [run_id] * 3


@pytest.mark.parametrize("left", ["", None])
def test_a_power_cut_that_empties_what_was_sent_of_a_run_that_went_on_here_loses_nothing(
    place: Place, tmp_path: Path, left: str | None
) -> None:
    run_id = paused_run(place.tracker())
    here = elsewhere(place, tmp_path / "here")
    here.away = True
    complete(here.tracker().resume_run(run_id, leg=1))
    (folder,) = here.journals.iterdir()
    (folder / "sent.json").unlink(missing_ok=True)
    if left is not None:
        (folder / "sent.json").write_text(left)
    here.away = False
    assert here.tracker().send_waiting(insist=True).runs == 0
    check_complete(place)


def test_an_mlflow_that_is_away_is_tried_twice_for_all_runs_that_wait(place: Place) -> None:
    paused_run(place.tracker())  # it has nothing that was not told
    parent_id = place.tracker().study_run()
    place.away = True
    for number in range(3):
        begin(place.tracker(), parent_id, number)
    tried = []

    def connect() -> MlflowTracker:
        tried.append(True)
        return place._connect()

    tracker = JournaledTracker(connect, place.journals)
    left = tracker.send_waiting(insist=True)
    assert (left.runs, left.reason, len(tried)) == (3, "MLflow is away", 2)
    left = tracker.send_waiting(insist=True)
    assert (left.runs, len(tried)) == (3, 4)
    place.away = False
    assert tracker.send_waiting(insist=True).runs == 0
    assert len(place.children()) == 4


def test_a_run_to_which_mlflow_does_not_answer_keeps_no_other_from_being_sent(place: Place) -> None:
    parent_id = place.tracker().start_study(tags={}, texts={})
    place.away = True
    for number in range(3):
        begin(place.tracker(), parent_id, number)
    place.away = False
    mlflow, first = place._connect(), set[str]()
    tell = mlflow.open

    def not_the_first(start: RunStart) -> MlflowRun:
        if start.key in first or not first:
            first.add(start.key)
            raise TrackingError("413 from a proxy")
        return tell(start)

    mlflow.open = not_the_first  # type: ignore[method-assign]
    left = JournaledTracker(lambda: mlflow, place.journals).send_waiting(insist=True)
    assert (left.runs, left.reason, len(place.children())) == (1, "413 from a proxy", 2)


@pytest.mark.parametrize(("ended", "state"), [(True, "complete"), (False, "interrupted")])
def test_a_run_created_once_more_by_a_request_that_arrives_late_is_deleted(
    place: Place, ended: bool, state: str
) -> None:
    tracker = place.tracker()
    parent = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent, params={"lr": 1e-3}, tags={"trial": "0"}, texts={})
    key = place.client.get_run(run.id).data.tags["hms_search.key"]
    late = tracker.direct.open(RunStart("trial 0", parent, {}, {"trial": "0"}, {}, "trial", key=key))
    assert place.tracker().direct.known(f"local-{key}").id == run.id
    if ended:
        run.finish("complete", metrics={"kl_all": 0.25}, files={})
    tracker.end_orphans({"kind": ["trial"], "trial": {"0"}}, "its process died")
    (left,) = place.children()
    assert (left.info.run_id, left.data.tags["state"], left.data.params) == (run.id, state, {"lr": "0.001"})
    assert place.client.get_run(late.id).info.lifecycle_stage == "deleted"


def test_a_damaged_journal_is_named_and_the_others_are_sent(place: Place) -> None:
    tracker = place.tracker()
    parent_id = tracker.start_study(tags={}, texts={})
    tracker._connected, place.away = None, True
    begin(tracker, parent_id, 0)
    begin(tracker, parent_id, 1)
    place.away = False
    first, _ = sorted(place.journals.iterdir())
    (first / "journal.jsonl").write_bytes(b"\x80\x04K\x01.\n")
    left = place.tracker().send_waiting(insist=True)
    assert left.runs == 1
    assert f"{first / 'journal.jsonl'}: is damaged" in left.reason
    assert len(place.children()) == 1


def left_by_another(place: Place, kept: str) -> Path:
    """Leave what an MLflow that is away was not told, which is not ours; return its folder."""
    place.away = True
    tracker = JournaledTracker(place._connect, place.journals, to=kept)
    begin(tracker, "0" * 32)
    place.away = False
    (folder,) = place.journals.iterdir()
    return folder


def test_what_was_written_for_another_mlflow_stays_and_is_said(place: Place) -> None:
    place.tracker().start_study(tags={}, texts={})
    folder = left_by_another(place, "http://other:5000")
    before = (folder / "journal.jsonl").read_bytes()
    ours = open_journaled(place.uri, place.artifacts, place.journals, study="effnet")
    begin(ours, ours.study_run(), 1)
    left = ours.send_waiting(insist=True)
    assert left.runs == 1
    assert "hms-search sync --tracking-uri http://other:5000 (with its user and password" in left.reason
    assert "--from http://other:5000" in left.reason
    assert (folder / "journal.jsonl").read_bytes() == before
    assert [run.data.tags["trial"] for run in place.children()] == ["1"]
    renamed = open_journaled(
        place.uri, place.artifacts, place.journals, study="effnet", also="http://ada:pw@other:5000/"
    )
    assert renamed.send_waiting(insist=True).runs == 0
    assert {run.data.tags["trial"] for run in place.children()} == {"0", "1"}
    assert list(place.journals.iterdir()) == []


def test_what_is_kept_of_another_mlflow_is_no_reason_to_wait_once_it_was_told_all(place: Place) -> None:
    tracker = JournaledTracker(place._connect, place.journals, to="http://other:5000")
    parent = tracker.start_study(tags={}, texts={})
    tracker.start_run("trial 0", parent_id=parent, params={}, tags={"trial": "0"}, texts={}).pause()
    ours = open_journaled(place.uri, place.artifacts, place.journals, study="effnet")
    assert ours.send_waiting(insist=True).runs == 0
    assert len(list(place.journals.iterdir())) == 1


def test_a_journal_without_a_destination_is_sent_as_ever(place: Place) -> None:
    place.tracker().start_study(tags={}, texts={})
    left_by_another(place, "")
    assert open_journaled(place.uri, place.artifacts, place.journals, study="effnet").send_waiting().runs == 0
    assert len(place.children()) == 1


def test_a_destination_is_kept_with_the_first_entry_and_without_a_password(place: Place) -> None:
    uri = "http://ada:s3cret@127.0.0.1:9"
    tracker = open_journaled(uri, place.artifacts, place.journals, study="effnet")
    run = tracker.start_run("trial 0", parent_id=None, params={}, tags={}, texts={})
    tracker.add("f" * 32, metrics={"kl": 1.0}, files={})  # of a run whose journal was sent and removed
    run.log({"kl": 1.0}, step=0)
    assert {RunJournal(folder).written_for for folder in place.journals.iterdir()} == {"http://127.0.0.1:9"}
    assert not any("s3cret" in path.read_text() for path in place.journals.rglob("*") if path.is_file())


@pytest.mark.parametrize("removed", ["gone", "deleted"])
def test_a_run_that_mlflow_no_longer_takes_holds_no_other_back(
    place: Place, removed: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = place.tracker()
    parent = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent, params={}, tags={"trial": "0"}, texts={})
    run.pause()
    other = tracker.start_run("trial 1", parent_id=parent, params={}, tags={"trial": "1"}, texts={})
    place.client.delete_run(run.id)
    if removed == "gone":  # as `mlflow gc` does
        with closing(sqlite3.connect(place.uri.removeprefix("sqlite:///"))) as database, database:
            for table in ("tags", "metrics", "latest_metrics", "params", "runs"):
                database.execute(f"delete from {table} where run_uuid = ?", (run.id,))
    tracker.resume_run(run.id, leg=1).finish("pruned", metrics={}, files={})
    monkeypatch.setattr("hms_search.tracking.journaled._TOGETHER_S", 0.0)
    other.log({"kl": 1.0}, step=0)
    assert len(place.client.get_metric_history(other.id, "kl")) == 1
    other.finish("complete", metrics={}, files={})
    left = place.tracker().send_waiting(insist=True)
    (folder,) = place.journals.iterdir()
    assert left.runs == 1
    assert f"remove {folder}" in left.reason
    assert not [record for record in caplog.records if "until then" in record.getMessage()]
    assert place.client.get_run(other.id).info.status == "FINISHED"


def test_who_asks_for_the_id_of_a_run_is_told_before_the_run_has_ended(place: Place) -> None:
    run_id = place.tracker().start_study(tags={}, texts={})

    def connect() -> MlflowTracker:
        raise TrackingError("MLflow is away")

    tracker = JournaledTracker(connect, place.journals, lag_s=0.0)
    for end in ("finish", "pause"):
        said: list[str] = []
        tracker.soon(lambda: time.sleep(0.1))
        run = tracker.start_run("trial 0", parent_id=run_id, params={}, tags={}, texts={})

        def tell(_: str, said: list[str] = said) -> None:
            time.sleep(0.05)  # as where the other thread is first to run again
            said.append("started")

        run.when_named(tell)
        if end == "finish":
            run.finish("complete", metrics={}, files={})
        else:
            run.pause()
        said.append("ended")
        assert said == ["started", "ended"]


@pytest.fixture
def port() -> Iterator[int]:
    return free_port("127.0.0.1", 0, "MLflow")


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_misses_nothing(tmp_path: Path, port: int) -> None:
    database, artifacts = f"sqlite:///{tmp_path}/server.db", tmp_path / "artifacts"
    uri = f"http://127.0.0.1:{port}"
    tracker = JournaledTracker(lambda: MlflowTracker(uri, artifacts, study="effnet"), tmp_path / "out")
    with mlflow_server(database, artifacts, host="127.0.0.1", port=port) as server:
        parent_id = tracker.start_study(tags={}, texts={})
        run = tracker.start_run("trial 0", parent_id=parent_id, params={}, tags={}, texts={})
        run.log({"kl": 1.0}, step=0)
        os.killpg(server.pid, signal.SIGKILL)
    run.log({"kl": 0.5}, step=1)
    known = run.id
    other = tracker.start_run("trial 1", parent_id=parent_id, params={}, tags={}, texts={})
    other.finish("pruned", reason="the search stopped it", metrics={}, files={})
    run.log({"kl": 0.25}, step=2)
    with mlflow_server(database, artifacts, host="127.0.0.1", port=port):
        forget_failure(tracker)
        run.finish("complete", metrics={"kl_all": 0.25}, files={})
        assert tracker.send_waiting().runs == 0
        reader = RunReader(uri)
        assert reader.curve(known, "kl") == ((0, 1.0), (1, 0.5), (2, 0.25))
        assert reader.record(known).status == "FINISHED"
        assert reader.record(other.id).tags["state"] == "pruned"
