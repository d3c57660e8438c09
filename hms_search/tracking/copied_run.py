"""One run and its copy in another MLflow: what it consists of, and how all of it is written there."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as StoredRun

from hms_search.component import fingerprint_of
from hms_search.tracking.mlflow_run import EARLIER_TAG
from hms_search.tracking.run_ids import renamed

STAMP_TAG = "hms_search.copied"
"""The tag of a copy that is complete, with the fingerprint of the run that it is of."""
BEGUN_WITH = {EARLIER_TAG, "mlflow.user", "mlflow.runName"}
"""The tags of a copy that was only begun."""
_OWN = {EARLIER_TAG, STAMP_TAG}
_ENDED = {"FINISHED", "FAILED", "KILLED"}
_READERS = 4
"""Metrics that are read at a time: MLflow tells one metric of one run per request."""
_TEXTS = {".csv", ".json", ".md", ".txt", ".yaml"}
"""Kinds of files that may name runs."""


@dataclass(frozen=True)
class Copied:
    """How much was copied: runs, values of metrics, files and their bytes."""

    runs: int = 0
    metrics: int = 0
    files: int = 0
    n_bytes: int = 0

    def __add__(self, other: "Copied") -> "Copied":
        """Return what was copied in both."""
        return Copied(
            self.runs + other.runs,
            self.metrics + other.metrics,
            self.files + other.files,
            self.n_bytes + other.n_bytes,
        )


Point = tuple[str, int, int, str]
"""A value of a metric: its key, step, time and the value in full digits, so that NaN equals itself."""


@dataclass(frozen=True)
class Lacking:
    """What a copy lacks: values of metrics and files with their sizes; ``is_told``: it has all else."""

    points: Sequence[Point]
    files: Mapping[str, int]
    is_told: bool

    def __bool__(self) -> bool:
        """Whether it lacks anything."""
        return bool(self.points or self.files) or not self.is_told


def names_of(run: StoredRun) -> set[str]:
    """Return every id that a run has had, here and where it was copied from."""
    return {run.info.run_id, *run.data.tags.get(EARLIER_TAG, "").split()}


def earlier_ids(run: StoredRun, copy: StoredRun | None = None) -> str:
    """Return what the tag of a run's copy says: every id that it has had anywhere else, the first one first."""
    ids = [*run.data.tags.get(EARLIER_TAG, "").split(), run.info.run_id]
    if copy is not None:
        ids = [*copy.data.tags.get(EARLIER_TAG, "").split(), *ids]
    own = "" if copy is None else copy.info.run_id
    return " ".join(one for one in dict.fromkeys(ids) if one != own)


@dataclass(frozen=True)
class CopiedRun:
    """A run, its copy as it stands, and the new ids of all runs that it may name."""

    run: StoredRun
    copy: StoredRun
    ids: Mapping[str, str]

    def files(self, source: MlflowClient) -> dict[str, int]:
        """Return the sizes of the files kept with the run, by their path."""
        return dict(_files(source, self.run.info.run_id, None))

    def is_done(self, files: Mapping[str, int]) -> bool:
        """Say whether the copy is of the run as it now is; one that has not ended may change at any time."""
        stamp = self._stamp(files)
        return stamp is not None and stamp == self.copy.data.tags.get(STAMP_TAG)

    def points(self, source: MlflowClient) -> list[Point]:
        """Return every value of every metric."""
        return _points(source, self.run)

    def lacks(self, target: MlflowClient, points: Sequence[Point], files: Mapping[str, int]) -> Lacking:
        """Return what the copy lacks of the run, of all its values and files."""
        if self.copy.data.tags.keys() <= BEGUN_WITH and not self.copy.data.metrics:
            return Lacking(points, files, is_told=False)
        there = set(_points(target, self.copy))
        kept = dict(_files(target, self.copy.info.run_id, None))
        missing = {name: size for name, size in files.items() if kept.get(name) != size}
        return Lacking([point for point in points if point not in there], missing, is_told=self._is_told())

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Give an empty folder for the run's files on their way."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def fetch(self, source: MlflowClient, files: Mapping[str, int], folder: Path) -> None:
        """Put the run's files into a folder, those that name runs with their new names."""
        if not files:
            return
        source.download_artifacts(self.run.info.run_id, "", str(folder))
        for path in (folder / name for name in files if Path(name).suffix in _TEXTS):
            content = path.read_bytes().decode("latin-1")  # whatever its encoding: ids are ASCII, the rest stays
            other = renamed(content, self.ids)
            if other != content:
                path.write_bytes(other.encode("latin-1"))

    def write(self, target: MlflowClient, lacking: Lacking, files: Mapping[str, int], folder: Path) -> Copied:
        """Write to the copy what it lacks, last that it is complete; ``folder`` has all files of the run."""
        if lacking:
            self._tell(target, lacking, files, folder)
        known = self.copy.data.tags
        own = {EARLIER_TAG: earlier_ids(self.run, self.copy), STAMP_TAG: self._stamp(files)}
        for key, value in own.items():
            if value is not None and value != known.get(key):
                target.set_tag(self.copy.info.run_id, key, value)
        return Copied(int(bool(lacking)), len(lacking.points), len(lacking.files), sum(lacking.files.values()))

    def _tell(self, target: MlflowClient, lacking: Lacking, files: Mapping[str, int], folder: Path) -> None:
        info, new_id = self.run.info, self.copy.info.run_id
        params = [Param(key, value) for key, value in self.run.data.params.items()]
        metrics = [Metric(key, float(value), at_ms, step) for key, step, at_ms, value in lacking.points]
        tags = [RunTag(key, value) for key, value in self._tags().items()]
        target.log_batch(new_id, metrics=metrics, params=params, tags=tags)
        if files:
            target.log_artifacts(new_id, str(folder))
        if info.run_name != self.copy.info.run_name:
            target.update_run(new_id, name=info.run_name)
        if info.end_time is None:
            target.update_run(new_id, status=info.status)
        else:
            target.set_terminated(new_id, info.status, info.end_time)  # any status: a reopened run keeps its end

    def _is_told(self) -> bool:
        """Whether parameters, tags, status and times of the copy are those of the run."""
        one, other = self.run, self.copy
        ends = [(run.info.run_name, run.info.status, run.info.end_time, run.data.params) for run in (one, other)]
        return ends[0] == ends[1] and self._tags().items() <= other.data.tags.items()

    def _tags(self) -> dict[str, str]:
        before = f"#/experiments/{self.run.info.experiment_id}/"
        now = f"#/experiments/{self.copy.info.experiment_id}/"
        return {
            key: renamed(value, self.ids).replace(before, now)
            for key, value in self.run.data.tags.items()
            if key not in _OWN
        }

    def _stamp(self, files: Mapping[str, int]) -> str | None:
        info, data = self.run.info, self.run.data
        if info.status not in _ENDED:
            return None
        tags = {key: value for key, value in data.tags.items() if key not in _OWN}
        told = [info.run_name, info.status, info.start_time, info.end_time, data.params, tags, data.metrics]
        return fingerprint_of([*told, dict(files)])


def _points(client: MlflowClient, run: StoredRun) -> list[Point]:
    def history(key: str) -> list[Point]:
        found = client.get_metric_history(run.info.run_id, key)
        return [(key, one.step, one.timestamp, repr(one.value)) for one in found]

    with ThreadPoolExecutor(_READERS) as pool:
        return [point for points in pool.map(history, run.data.metrics) for point in points]


def _files(client: MlflowClient, run_id: str, folder: str | None) -> Iterator[tuple[str, int]]:
    for one in client.list_artifacts(run_id, folder):
        if one.is_dir:
            yield from _files(client, run_id, one.path)
        else:
            yield one.path, one.file_size or 0
