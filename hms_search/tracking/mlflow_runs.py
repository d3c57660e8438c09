"""Runs in MLflow, written with few and large calls: one to open a run, one per epoch, three to end it.

One call per value costs 65 ms per trial on a local file and 173 ms on a server, batches 12 and 26 ms (10 parameters,
20 metrics); asynchronous logging is slower still, because ending a run waits for its queue.
"""

import csv
import getpass
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.entities import Run as StoredRun

from hms_search.errors import TrackingError
from hms_search.tracking.address import (
    check_address,
    is_server,
    outliving_uri,
    prepare_file,
    reported,
    without_password,
)
from hms_search.tracking.contract import Kind, Outcome, Waiting
from hms_search.tracking.mlflow_run import (
    KEY_TAG,
    MlflowRun,
    is_double,
    known_id,
    log_files,
    metrics_of,
    run_named,
    run_of_key,
    tags_of,
)


@dataclass(frozen=True)
class RunStart:
    """All that a run begins with; ``key`` is its own name for itself, ``at_ms`` when it began.

    ``again`` says that it may have been created before.
    """

    name: str
    parent_id: str | None
    params: Mapping[str, object]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]
    kind: Kind
    key: str = ""
    at_ms: int | None = None
    again: bool = False


class MlflowTracker:
    """One MLflow experiment per study: a parent run, tagged ``kind=study``, and a child run per trial, ``kind=trial``.

    Parameters
    ----------
    uri
        A database (``sqlite:///mlruns/mlflow.db``) or a server (``http://host:5000``).
    artifacts
        Folder of the files of runs kept in a database, one folder per study; a server has its own place for them.
    study
        The name of the study and of its experiment.
    """

    def __init__(self, uri: str, artifacts: Path, *, study: str) -> None:
        self._uri, self._artifacts, self._study = uri, artifacts, study
        self._files_at: dict[str, str] = {}
        with reported(uri):
            check_address(uri)
            prepare_file(uri)
            self._client = MlflowClient(tracking_uri=outliving_uri(uri))

    def start_study(self, *, tags: Mapping[str, str], texts: Mapping[str, str]) -> str:
        """Return the id of the study's own run, opened again where the study is resumed."""
        with reported(self._uri):
            self._create_experiment()
            run_id = self._study_run()
            if run_id:
                self._client.update_run(run_id, status="RUNNING")
                self._client.log_batch(run_id, tags=tags_of(tags))
            else:
                run_id = self._create(f"study {self._study}", {**tags, "kind": "study"})
            log_files(self._client, run_id, _encoded(texts))
        return run_id

    def experiment(self) -> str:
        """Return the id of the study's experiment, made where it is missing."""
        with reported(self._uri):
            self._create_experiment()
            return self._experiment_id

    def study_run(self) -> str:
        """Return the id of the study's own run; raises TrackingError where it has none."""
        with reported(self._uri):
            found = self._study_run()
        if not found:
            raise TrackingError(
                f"MLflow at {without_password(self._uri)} has no run of study {self._study!r}; "
                "name the --tracking-uri it was run with"
            )
        return found

    def start_run(
        self,
        name: str,
        *,
        parent_id: str | None,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        texts: Mapping[str, str],
        kind: Kind = "trial",
    ) -> "MlflowRun":
        """Return a new run under the study's, with its parameters and files."""
        return self.open(RunStart(name, parent_id, params, tags, _encoded(texts), kind))

    def open(self, start: RunStart) -> MlflowRun:
        """Return a new run, or the one that was created with its key before."""
        with reported(self._uri):
            self._create_experiment()
            run_id = run_of_key(self._client, start.key, [self._experiment_id]) if start.again else ""
            if not run_id:
                parent = {} if start.parent_id is None else {"mlflow.parentRunId": start.parent_id}
                key = {KEY_TAG: start.key} if start.key else {}
                run_id = self._create(start.name, {**start.tags, "kind": start.kind, **parent, **key}, start.at_ms)
            files_at = self._files_at.get(run_id, "")
            if start.params:
                params = [Param(key, str(value)) for key, value in start.params.items()]
                self._client.log_batch(run_id, params=params)
            log_files(self._client, run_id, start.files, files_at)
        return MlflowRun(run_id, self._client, self._uri, files_at)

    def known(self, run_id: str) -> MlflowRun:
        """Return a run by its id, or by the one it had before MLflow gave it another."""
        with reported(self._uri):
            known = known_id(self._client, run_id)
        return MlflowRun(known, self._client, self._uri, self._files_at.get(known, ""))

    def add(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Add metrics and files to a run that has ended; it may have been copied here since."""
        with reported(self._uri):
            known = run_named(self._client, run_id).info.run_id
            log_files(self._client, known, files)
            self._client.log_batch(known, metrics=metrics_of(metrics))

    def end_orphan(self, run_id: str, reason: str, *, failed: bool, leg: int) -> None:
        """End a run whose process died."""
        outcome: Outcome = "failed" if failed else "interrupted"
        self.known(run_id).finish(outcome, reason=reason, metrics={}, files={}, leg=leg)

    def resume_run(self, run_id: str, *, leg: int) -> "MlflowRun":
        """Return a run that was paused, open again."""
        run = self.known(run_id)
        run.resume(leg)
        return run

    def open_run(self, run_id: str) -> "MlflowRun | None":
        """Return a run that an earlier process left open; it may have been copied here since."""
        with reported(self._uri):
            info = run_named(self._client, run_id).info
        return MlflowRun(info.run_id, self._client, self._uri) if info.status == "RUNNING" else None

    def end_orphans(
        self, tags: Mapping[str, Collection[str]], reason: str = "", *, outcome: Outcome = "interrupted"
    ) -> None:
        """End the open runs of the study that have each tag with one of its values, with their ``outcome``.

        A request that a process had sent as it was killed may arrive after its run was created again, or ended: of
        several runs with one key all but one are deleted; and what is complete has no reason, so a run that has one
        is ended again.
        """
        late = "tags.state = 'complete' and tags.reason LIKE '%'"
        with reported(self._uri):
            self._create_experiment()
            for run in self._tagged("attributes.status = 'RUNNING'", tags):
                if is_double(self._client, run):
                    self._client.delete_run(run.info.run_id)
                else:
                    self.known(run.info.run_id).finish(outcome, reason=reason, metrics={}, files={})
            for run in self._tagged(late, tags) if outcome != "complete" else ():
                self.known(run.info.run_id).finish(outcome, reason=run.data.tags["reason"], metrics={}, files={})

    def finish_study(
        self, parent_id: str, *, metrics: Mapping[str, float], table: Sequence[Mapping[str, object]]
    ) -> None:
        """End the study's run: its metrics, ``trials.csv``, and a description that links its ten best trials."""
        with reported(self._uri):
            log_files(self._client, parent_id, {"trials.csv": _csv(table)})
            note = _best_trials(table, experiment_id=self._experiment_id)
            self._client.log_batch(parent_id, metrics=metrics_of(metrics), tags=tags_of({"mlflow.note.content": note}))
            self._client.set_terminated(parent_id, "FINISHED")

    def send_waiting(self, *, insist: bool = False) -> Waiting:  # noqa: ARG002
        """Nothing waits: what cannot be told is an error."""
        return Waiting()

    def _create_experiment(self) -> None:
        if "_experiment_id" not in self.__dict__ and self._client.get_experiment_by_name(self._study) is None:
            self._client.create_experiment(self._study, artifact_location=self._artifact_location())

    def _tagged(self, condition: str, tags: Mapping[str, Collection[str]]) -> Iterator[StoredRun]:
        found = self._client.search_runs([self._experiment_id], condition)
        return (run for run in found if all(run.data.tags.get(name) in values for name, values in tags.items()))

    def _study_run(self) -> str:
        found = self._client.search_runs(
            [self._experiment_id], "tags.kind = 'study'", max_results=1, order_by=["attributes.start_time ASC"]
        )
        return found[0].info.run_id if found else ""

    @cached_property
    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(self._study)
        if experiment is None:
            shown = without_password(self._uri)
            raise TrackingError(f"MLflow at {shown} has no experiment {self._study!r}; was it removed meanwhile?")
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {self._study!r} was deleted; bring it back with "
                f"`MLFLOW_TRACKING_URI={without_password(self._uri)} mlflow experiments restore --experiment-id "
                f"{experiment.experiment_id}`, or give the study another name"
            )
        return str(experiment.experiment_id)

    def _artifact_location(self) -> str | None:
        return None if is_server(self._uri) else (self._artifacts.resolve() / quote(self._study, safe="")).as_uri()

    def _create(self, name: str, tags: Mapping[str, str], at_ms: int | None = None) -> str:
        shown = {
            "mlflow.user": getpass.getuser(),
            "mlflow.source.name": "hms-search",
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": tags.get("git_commit", ""),
        }
        all_tags = {tag.key: tag.value for tag in tags_of({**shown, **tags})}
        run = self._client.create_run(self._experiment_id, start_time=at_ms, run_name=name, tags=all_tags)
        self._files_at[run.info.run_id] = run.info.artifact_uri
        return str(run.info.run_id)


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in texts.items()}


def _csv(table: Sequence[Mapping[str, object]]) -> bytes:
    columns = list(dict.fromkeys(column for row in table for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode()


def _best_trials(table: Sequence[Mapping[str, object]], *, experiment_id: str, count: int = 10) -> str:
    """Return Markdown with a row per trial, best first, that links its run."""
    scored = [(float(str(row["value"])), row) for row in table if row.get("value") is not None]
    rows = [
        f"| {row['trial']} | {value:.5f} | [{row['run_id']}](#/experiments/{experiment_id}/runs/{row['run_id']}) |"
        for value, row in sorted(scored, key=lambda pair: pair[0])[:count]
    ]
    return "\n".join(["| trial | value | run |", "| ---: | ---: | --- |", *rows]) if rows else "No trial completed."
