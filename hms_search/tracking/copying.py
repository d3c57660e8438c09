"""The runs of a study, copied from one MLflow to another as they are, as often as one likes.

    check --> create: every run, for its new id --> fill: parameters, tags, metrics, files, status and times

A copied run keeps, as a tag, what it was called where it came from. By that it is found again: by a copy that goes on
after an interruption, by one that brings what was added since, by one that goes back, and by whatever kept its old id.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.entities import Run as StoredRun

from hms_search.data.progress import Progress
from hms_search.errors import TrackingError
from hms_search.tracking.address import reported, without_password
from hms_search.tracking.copied_run import Copied, CopiedRun, earlier_ids, names_of
from hms_search.tracking.mlflow_run import EARLIER_TAG, KEY_TAG
from hms_search.tracking.mlflow_runs import MlflowTracker
from hms_search.tracking.reading import reading_client
from hms_search.tracking.run_ids import LOCAL

_PAGE = 1000
Report = Callable[[Progress], None]


class StudyRuns:
    """The runs of one study's experiment in two stores, ``source`` and ``target``, both URIs of MLflow.

    ``artifacts`` is the folder of the files of runs where the target is a database; a server has its own place.
    Every method raises TrackingError where a store cannot be read or written.
    """

    def __init__(self, source: str, target: str, artifacts: Path, *, study: str) -> None:
        self._source_uri, self._target_uri, self._study = source, target, study
        self._source = reading_client(source)
        self._tracker = MlflowTracker(target, artifacts, study=study)
        self._target = MlflowClient(tracking_uri=target)

    def check(self) -> None:
        """Raise TrackingError where the target keeps another study's runs under this name, or files are not here."""
        with reported(self._source_uri):
            experiment = self._experiment(self._source)
            runs = _runs(self._source, experiment)
        if experiment is not None and runs:
            _check_files(experiment, self._source_uri)
        with reported(self._target_uri):
            there = self._experiment(self._target)
            theirs = _runs(self._target, there)
        if there is not None:
            self._tracker.experiment()  # raises where it was deleted
        known = {name for run in runs for name in names_of(run)}
        foreign = [run for run in theirs if run.data.tags.get("kind") == "study" and not known & names_of(run)]
        if foreign:
            raise TrackingError(
                f"MLflow at {without_password(self._target_uri)} has an experiment {self._study!r} with the runs of "
                "another study; name another --to-tracking-uri, or rename that experiment first"
            )

    def create(self, report: Report) -> dict[str, str]:
        """Return the target's ids of all runs, by every name they have had; runs that it lacks are begun there."""
        with reported(self._source_uri):
            experiment = self._experiment(self._source)
            runs = _runs(self._source, experiment)
        if experiment is None or not runs:
            return {}
        self._tag_experiment(experiment)
        there, ids = self._there(), dict[str, str]()
        for place, run in enumerate(runs):
            found = next((there[name] for name in names_of(run) if name in there), None)
            new_id = self._begin(run) if found is None else found.info.run_id
            ids |= dict.fromkeys(names_of(run), new_id)
            if KEY_TAG in run.data.tags:
                ids[LOCAL + run.data.tags[KEY_TAG]] = new_id
            report(Progress(place + 1, len(runs)))
        return ids

    def fill(self, ids: Mapping[str, str], report: Report) -> Copied:
        """Bring every run up to date under the ids of :meth:`create`; return what was copied."""
        with reported(self._source_uri):
            experiment = self._experiment(self._source)
            runs = _runs(self._source, experiment)
        there, copied = self._there() if runs else {}, Copied()
        for place, run in enumerate(runs):
            copied += self._fill(CopiedRun(run, there[ids[run.info.run_id]], ids))
            report(Progress(place + 1, len(runs)))
        return copied

    def _fill(self, copy: CopiedRun) -> Copied:
        with reported(self._source_uri):
            files = copy.files(self._source)
        if copy.is_done(files):
            return Copied()
        with reported(self._source_uri):
            points = copy.points(self._source)
        with reported(self._target_uri):
            lacking = copy.lacks(self._target, points, files)
        with copy.folder() as folder:
            if lacking:
                with reported(self._source_uri):
                    copy.fetch(self._source, files, folder)
            with reported(self._target_uri):
                return copy.write(self._target, lacking, files, folder)

    def _tag_experiment(self, experiment: Experiment) -> None:
        """Keep what was noted with the experiment."""
        target = self._tracker.experiment()
        with reported(self._target_uri):
            there = self._target.get_experiment(target).tags
            for key, value in experiment.tags.items():
                if key not in there:
                    self._target.set_experiment_tag(target, key, value)

    def _begin(self, run: StoredRun) -> str:
        tags = {EARLIER_TAG: earlier_ids(run), "mlflow.user": run.data.tags.get("mlflow.user", "")}
        experiment = self._tracker.experiment()
        with reported(self._target_uri):
            begun = self._target.create_run(experiment, run.info.start_time, tags, run.info.run_name)
        return str(begun.info.run_id)

    def _there(self) -> dict[str, StoredRun]:
        """Return the target's runs by every name they have had."""
        self._tracker.experiment()
        with reported(self._target_uri):
            runs = _runs(self._target, self._experiment(self._target))
        return {name: run for run in runs for name in names_of(run)}

    def _experiment(self, client: MlflowClient) -> Experiment | None:
        return client.get_experiment_by_name(self._study)


def _runs(client: MlflowClient, experiment: Experiment | None) -> list[StoredRun]:
    """Return all runs of an experiment, the oldest first."""
    runs: list[StoredRun] = []
    token: str | None = None
    while experiment is not None:
        page = client.search_runs(
            [experiment.experiment_id], max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            break
    return runs


def _check_files(experiment: Experiment, uri: str) -> None:
    """Raise TrackingError where the files of runs lie in a folder that this machine lacks: they would be left out."""
    parts = urlsplit(experiment.artifact_location)
    if parts.scheme in ("", "file") and not Path(unquote(parts.path)).is_dir():
        raise TrackingError(
            f"MLflow at {without_password(uri)} keeps the files of {experiment.name!r} in {parts.path}, which is not "
            "on this machine; run the command on the machine that has it"
        )


def ensembles_naming(uri: str, ids: Mapping[str, str]) -> list[str]:
    """Return, in a line each, the ensembles in other experiments that blend models which these runs made."""
    client = reading_client(uri)
    with reported(uri):
        experiments = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(experiments, "tags.kind = 'ensemble'")
    blends = [run for run in found if not ids.keys().isdisjoint(run.data.tags.get("member_run_ids", "").split())]
    return [
        f"left where it is: the run of ensemble {run.info.run_name}, which may blend other models" for run in blends
    ]
