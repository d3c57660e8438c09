"""One run and its copy in another MLflow: what it consists of, and how all of it is written there."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
_OWN = {EARLIER_TAG, STAMP_TAG}
_ENDED = {"FINISHED", "FAILED", "KILLED"}
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

    def metrics(self, source: MlflowClient) -> list[Metric]:
        """Return every value of every metric, with its step and time."""
        # A run that was listed has the last values only.
        found = [source.get_metric_history(self.run.info.run_id, key) for key in sorted(self.run.data.metrics)]
        return [Metric(one.key, one.value, one.timestamp, one.step) for points in found for one in points]

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

    def write(self, target: MlflowClient, metrics: Sequence[Metric], files: Mapping[str, int], folder: Path) -> Copied:
        """Write all of the run to its copy, last that it is complete; what is there already stays as it is."""
        info, new_id = self.run.info, self.copy.info.run_id
        params = [Param(key, value) for key, value in self.run.data.params.items()]
        target.log_batch(new_id, metrics=list(metrics), params=params, tags=self._tags())
        if files:
            target.log_artifacts(new_id, str(folder))
        if info.run_name != self.copy.info.run_name:
            target.update_run(new_id, name=info.run_name)
        if info.end_time is None:
            target.update_run(new_id, status=info.status)
        else:
            target.set_terminated(new_id, info.status, info.end_time)  # any status: a reopened run keeps its end
        if stamp := self._stamp(files):
            target.set_tag(new_id, STAMP_TAG, stamp)
        return Copied(1, len(metrics), len(files), sum(files.values()))

    def _tags(self) -> list[RunTag]:
        before = f"#/experiments/{self.run.info.experiment_id}/"
        now = f"#/experiments/{self.copy.info.experiment_id}/"
        told = {
            key: renamed(value, self.ids).replace(before, now)
            for key, value in self.run.data.tags.items()
            if key not in _OWN
        }
        return [RunTag(key, value) for key, value in {**told, EARLIER_TAG: earlier_ids(self.run, self.copy)}.items()]

    def _stamp(self, files: Mapping[str, int]) -> str | None:
        info, data = self.run.info, self.run.data
        if info.status not in _ENDED:
            return None
        tags = {key: value for key, value in data.tags.items() if key not in _OWN}
        told = [info.run_name, info.status, info.start_time, info.end_time, data.params, tags, data.metrics]
        return fingerprint_of([*told, dict(files)])


def _files(client: MlflowClient, run_id: str, folder: str | None) -> Iterator[tuple[str, int]]:
    for one in client.list_artifacts(run_id, folder):
        if one.is_dir:
            yield from _files(client, run_id, one.path)
        else:
            yield one.path, one.file_size or 0
