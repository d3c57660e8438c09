"""One run in MLflow, and how its metrics, tags and files are written there."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from hms_search.errors import TrackingError
from hms_search.tracking.address import reported
from hms_search.tracking.contract import Outcome
from hms_search.tracking.run_ids import LOCAL, is_run_id

_STATUS: Mapping[Outcome, str] = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
KEY_TAG = "hms_search.key"
"""The tag of a run with what it was called before MLflow gave it an id."""
EARLIER_TAG = "hms_search.earlier_ids"
"""The tag of a run that was copied here with what it was called elsewhere, one id after the other."""
LEG_TAG = "hms_search.leg"
"""The tag of a run with how often its trial had been gone on with when it was last told so, which says whose it is."""
_TAG_LIMIT = 8000


class UnknownRunError(TrackingError):
    """MLflow has not been told of a run; the machine where it ran has it in its journal."""


class RefusedError(TrackingError):
    """MLflow answers, but takes nothing of this run any more: it was removed there."""


@dataclass(frozen=True)
class Logged:
    """The metrics of one epoch, and when they were logged; None is now."""

    metrics: Mapping[str, float]
    step: int
    at_ms: int | None


@dataclass(frozen=True)
class MlflowRun:
    """The open run of one trial. What is told twice, at the same times, is kept once.

    ``files_at`` is where its files are kept, if that is known: MLflow looks up the whole run for it.
    """

    id: str
    _client: MlflowClient
    _uri: str
    files_at: str = ""

    def when_named(self, tell: Callable[[str], None]) -> None:
        """Tell the id."""
        tell(self.id)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of one epoch in one call."""
        self.log_all([Logged(metrics, step, now_ms())])

    def log_all(self, logged: Sequence[Logged]) -> None:
        """Log the metrics of several epochs in one call; MLflow's client cuts it into as few as its server takes."""
        with reported(self._uri):
            self._log(logged)

    def leg(self) -> int:
        """Return how often its trial has been gone on with, as far as it was told; 0 where it never was."""
        with reported(self._uri):
            return int(self._client.get_run(self.id).data.tags.get(LEG_TAG, 0))

    def steps(self, metric: str) -> set[int]:
        """Return the steps at which it has a metric."""
        with reported(self._uri):
            return {point.step for point in self._client.get_metric_history(self.id, metric)}

    def resume(self, leg: int | None) -> None:
        """Say that the trial goes on, for the ``leg``-th time if that is known."""
        with reported(self._uri):
            self._client.log_batch(self.id, tags=tags_of({"state": "running", **_of_leg(leg)}))
            self._client.update_run(self.id, status="RUNNING")

    def pause(self, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Say that the trial waits: MLflow's status SCHEDULED."""
        with reported(self._uri):
            log_files(self._client, self.id, files, self.files_at)
            self._client.log_batch(self.id, tags=tags_of({"state": "paused"}))
            self._client.update_run(self.id, status="SCHEDULED")

    def finish(
        self,
        outcome: Outcome,
        *,
        reason: str = "",
        metrics: Mapping[str, float],
        files: Mapping[str, bytes],
        at_ms: int | None = None,
        logged: Sequence[Logged] = (),
        leg: int | None = None,
    ) -> None:
        """End the run, the metrics of its last epochs ``logged``; where the trial had been gone on with, keep its leg.

        Tags ``state`` and ``reason`` say what MLflow's four statuses cannot.
        """
        tags = {"state": outcome, **_of_leg(leg)} | ({"reason": reason} if reason else {})
        with reported(self._uri):
            log_files(self._client, self.id, files, self.files_at)
            self._log([*logged, Logged(metrics, 0, at_ms)], tags)
            self._client.set_terminated(self.id, _STATUS[outcome], end_time=at_ms)

    def _log(self, logged: Sequence[Logged], tags: Mapping[str, str] = MappingProxyType({})) -> None:
        every = [metric for one in logged for metric in metrics_of(one.metrics, step=one.step, at_ms=one.at_ms)]
        self._client.log_batch(self.id, metrics=every, tags=tags_of(tags))


def known_id(client: MlflowClient, run_id: str) -> str:
    """Return MLflow's id of a run that may have been named before it had one.

    Raises UnknownRunError where MLflow still does not know it.
    """
    if not run_id.startswith(LOCAL):
        return run_id
    found = run_of_key(client, run_id.removeprefix(LOCAL), _experiments(client))
    if not found:
        raise UnknownRunError(f"MLflow does not know the run {run_id} yet; hms-search sync sends it from where it ran")
    return found


def run_named(client: MlflowClient, run_id: str) -> StoredRun:
    """Return a run by its id, by what it was called before it had one, or in a store that it was copied from.

    Raises MlflowException or TrackingError where MLflow knows none.
    """
    try:
        return client.get_run(known_id(client, run_id))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST" or not is_run_id(run_id):
            raise
        condition = f"tags.`{EARLIER_TAG}` LIKE '%{run_id}%'"
        found = client.search_runs(_experiments(client), condition, max_results=1)
        if not found:
            raise
        return found[0]


def run_of_key(client: MlflowClient, key: str, experiments: list[str]) -> str:
    """Return the id of the run with a key, empty where there is none."""
    found = _runs_of_key(client, key, experiments)
    return str(max(found, key=_fullness).info.run_id) if found else ""


def is_double(client: MlflowClient, run: StoredRun) -> bool:
    """Say whether another run has the same key, and more to say."""
    key = run.data.tags.get(KEY_TAG, "")
    same = _runs_of_key(client, key, [run.info.experiment_id]) if key else []
    return bool(same) and max(same, key=_fullness).info.run_id != run.info.run_id


def now_ms() -> int:
    """Return the time as MLflow counts it."""
    return time.time_ns() // 1_000_000


def metrics_of(metrics: Mapping[str, float], *, step: int = 0, at_ms: int | None = None) -> list[Metric]:
    """Return MLflow's metrics; infinity as NaN, because the store keeps it as 1.8e308 and that flattens any chart."""
    when = now_ms() if at_ms is None else at_ms
    return [
        Metric(key, float(value) if math.isfinite(value) else math.nan, when, step) for key, value in metrics.items()
    ]


def tags_of(tags: Mapping[str, str]) -> list[RunTag]:
    """Return MLflow's tags, cut to what it takes."""
    return [RunTag(key, value[:_TAG_LIMIT]) for key, value in tags.items()]


def log_files(client: MlflowClient, run_id: str, files: Mapping[str, bytes], files_at: str = "") -> None:
    """Keep files, by name, with a run, ``files_at`` where that is known."""
    if not files:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        if files_at:
            get_artifact_repository(files_at, tracking_uri=client.tracking_uri).log_artifacts(folder)  # type: ignore[no-untyped-call]
        else:
            client.log_artifacts(run_id, folder)


def _of_leg(leg: int | None) -> dict[str, str]:
    return {LEG_TAG: str(leg)} if leg else {}


def _runs_of_key(client: MlflowClient, key: str, experiments: list[str]) -> list[StoredRun]:
    return list(client.search_runs(experiments, f"tags.`{KEY_TAG}` = '{key}'"))


def _fullness(run: StoredRun) -> tuple[bool, int, str]:
    """Order runs of one key, created twice: what was told of it is told of one."""
    return run.info.status != "RUNNING", len(run.data.params), run.info.run_id


def _experiments(client: MlflowClient) -> list[str]:
    return [experiment.experiment_id for experiment in client.search_experiments()]
