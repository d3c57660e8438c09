"""What a tracking store knows of its runs, as plain values."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from hms_search.errors import TrackingError
from hms_search.tracking.address import check_address, outliving_uri, reported, sqlite_path, without_password
from hms_search.tracking.mlflow_run import known_id, run_named


@dataclass(frozen=True)
class RunRecord:
    """A run as the store keeps it; parameters and tags are text.

    ``status`` is MLflow's (RUNNING, FINISHED, FAILED, KILLED); the tag ``state`` tells a pruned trial from an
    interrupted one. A metric has its last value.
    """

    id: str
    name: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    started: datetime | None
    ended: datetime | None


class RunReader:
    """Reads the runs of an MLflow database or server, and changes nothing there.

    Every method raises TrackingError where the store cannot be read or does not have what was asked for.
    """

    def __init__(self, uri: str) -> None:
        self._uri, self._client = uri, reading_client(uri)

    def check(self) -> None:
        """Read something, whatever is there."""
        with reported(self._uri):
            self._client.search_experiments(max_results=1)

    def record(self, run_id: str) -> RunRecord:
        """Return a run."""
        with reported(self._uri):
            run = run_named(self._client, run_id)
        return RunRecord(
            id=run.info.run_id,
            name=run.info.run_name or "",
            status=run.info.status,
            params=dict(run.data.params),
            tags=dict(run.data.tags),
            metrics=dict(run.data.metrics),
            started=_time(run.info.start_time),
            ended=_time(run.info.end_time),
        )

    def study_run(self, study: str) -> RunRecord:
        """Return the run of a study itself, the parent of its trials' runs."""
        oldest = ["attributes.start_time ASC"]
        with reported(self._uri):
            experiment = self._client.get_experiment_by_name(study)
            ids = [experiment.experiment_id] if experiment is not None else []
            runs = self._client.search_runs(ids, "tags.kind = 'study'", max_results=1, order_by=oldest) if ids else []
        if not runs:
            raise TrackingError(f"MLflow at {without_password(self._uri)} has no run of a study {study!r}")
        return self.record(runs[0].info.run_id)

    def curve(self, run_id: str, metric: str) -> tuple[tuple[int, float], ...]:
        """Return a metric's (step, value) pairs by step, none where the run never logged it."""
        with reported(self._uri):
            points = self._client.get_metric_history(known_id(self._client, run_id), metric)
        return tuple(sorted((point.step, point.value) for point in points))

    def file(self, run_id: str, name: str) -> bytes:
        """Return the content of a file kept with a run; ``name`` may lie in folders: ``networks/fold0.safetensors``."""
        known = self.record(run_id).id  # tells a run that is not there, or a server that is away, from a missing file
        with tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self._client.download_artifacts(known, name, folder)).read_bytes()
            except (MlflowException, OSError) as error:
                where = f"MLflow at {without_password(self._uri)}"
                raise TrackingError(f"{where}: run {run_id} keeps no file {name!r} that can be read") from error


def reading_client(uri: str) -> MlflowClient:
    """Return a client of an MLflow database or server that is there; raises TrackingError where none is."""
    with reported(uri):
        check_address(uri)
        path = sqlite_path(uri)
        if path is not None and not path.is_file():
            raise TrackingError(
                f"MLflow at {uri}: there is no file {path}; change to the folder the study was run in, "
                "or name its --tracking-uri"
            )
        return MlflowClient(tracking_uri=outliving_uri(uri))


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
