"""The MLflow model registry: versions of registered models, what they are called, and their files on this machine."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.entities import Run as StoredRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from hms_search.data.labels import TaskName
from hms_search.errors import TrackingError
from hms_search.tracking.address import check_address, reported, sqlite_path, without_password
from hms_search.tracking.mlflow_model import rename_mlflow_model, write_mlflow_model
from hms_search.tracking.mlflow_run import EARLIER_TAG, run_named

DEFAULT_NAME = "hms"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model: the run that made it, the names it goes by, and its tags."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    def made_by(self, run_id: str) -> bool:
        """Say whether a run made it; the run may be named as it was in a store that both were copied from."""
        return bool(run_id) and run_id in (self.run_id, *self.tags.get(EARLIER_TAG, "").split())


class ModelRegistry:
    """The registered models of an MLflow database or server.

    A registered model is a model folder, best a bundle, which brings the code to predict with it. MLflow loads it as a
    ``python_function`` model, without pickle.

    Every method raises TrackingError where the store cannot be reached or does not have what was asked for.

    Parameters
    ----------
    uri
        A database (``sqlite:///mlruns/mlflow.db``) or a server (``http://host:5000``).
    artifacts
        Folder under which models are kept that a server holds elsewhere; see :meth:`fetch`.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._uri, self._artifacts = uri, artifacts
        with reported(uri):
            check_address(uri)
            database = sqlite_path(uri)
            if database is not None and not database.is_file():
                raise TrackingError(
                    f"MLflow at {uri}: there is no file {database}; run a study, or name --tracking-uri"
                )
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def register(
        self, run_id: str, folder: Path, *, name: str = DEFAULT_NAME, task: TaskName = "hms", tags: Mapping[str, str]
    ) -> int:
        """Log a model folder under its run and return its number as a new version of the registered model.

        ``task`` says what the model takes and returns.
        """
        with reported(self._uri), tempfile.TemporaryDirectory() as scratch:
            run = run_named(self._client, run_id)
            logged = self._logged(run, name, tags)
            write_mlflow_model(
                folder, Path(scratch) / "model", run_id=run.info.run_id, model_id=logged.model_id, task=task
            )
            return self._made(logged, Path(scratch) / "model", run, name, tags)

    def receive(self, version: RegisteredVersion, model: Path, run_id: str) -> int:
        """Register a version of another registry, its MLflow model in a folder, as made by a run; return its number.

        The folder's ``MLmodel`` is written anew, with the ids that it has here. What an earlier attempt
        left of it goes.
        """
        with reported(self._uri):
            run = run_named(self._client, run_id)
            of_run = f"source_run_id = '{run.info.run_id}'"
            for left in self._client.search_logged_models([run.info.experiment_id], filter_string=of_run):
                if left.name == version.name:  # a run may have versions of several names, one of each
                    self._client.delete_logged_model(left.model_id)
            logged = self._logged(run, version.name, version.tags)
            rename_mlflow_model(model, run_id=run.info.run_id, model_id=logged.model_id)
            return self._made(logged, model, run, version.name, version.tags)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Give a version an alias; the version that had it loses it."""
        with reported(self._uri):
            self._client.set_registered_model_alias(name, alias, str(version))

    def set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        with reported(self._uri):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, str(version), key, value)

    def find(self, reference: str) -> RegisteredVersion:
        """Return the version a reference names.

        Parameters
        ----------
        reference
            ``champion`` or ``candidate`` (or another alias of the model ``hms``), ``NAME@alias``, ``NAME/version``,
            both also after ``models:/``, or the id of a run: the last version it made.
        """
        known = self.versions()
        found = [one for one in known if _answers(one, reference.removeprefix("models:/"))]
        if not found:
            there = "; ".join(_shown(one) for one in known) or "none; promote a study's trials first"
            raise TrackingError(
                f"MLflow at {without_password(self._uri)} has no model {reference!r}; it has {there}. Write an alias, "
                "NAME@alias, NAME/version, or the id of the run that made it"
            )
        return found[-1]

    def versions(self) -> tuple[RegisteredVersion, ...]:
        """Return every version of every registered model, the names in order, the oldest version first."""
        with reported(self._uri):
            models = {model.name: model for model in self._client.search_registered_models(max_results=1000)}
            found = self._client.search_model_versions()
            known = [_version(one, models[one.name].aliases) for one in found if one.name in models]
        return tuple(sorted(known, key=lambda one: (one.name, one.version)))

    def fetch(self, version: RegisteredVersion) -> Path:
        """Return a version's model folder: where MLflow keeps it on this machine, else a copy made once.

        Copies lie in ``registered/NAME/VERSION-RUN`` under the folder of artifacts.
        """
        with reported(self._uri):
            location = self._client.get_model_version_download_uri(version.name, str(version.version))
            local = _local(location)
            if local is None:
                local = self._artifacts / "registered" / version.name / f"{version.version}-{version.run_id}"
                if not local.is_dir():
                    _download(location, local, self._uri)
            flavor = Model.load(str(local)).flavors["python_function"]
        return local / str(flavor["data"])

    def download(self, version: RegisteredVersion, folder: Path) -> Path:
        """Return a copy, in a folder, of a version's MLflow model."""
        with reported(self._uri):
            location = self._client.get_model_version_download_uri(version.name, str(version.version))
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=location, dst_path=str(folder), tracking_uri=self._uri
            )
        return Path(found)

    def _logged(self, run: StoredRun, name: str, tags: Mapping[str, str]) -> LoggedModel:
        return self._client.create_logged_model(run.info.experiment_id, name, run.info.run_id, dict(tags))

    def _made(self, logged: LoggedModel, model: Path, run: StoredRun, name: str, tags: Mapping[str, str]) -> int:
        """Keep an MLflow model as one that a run made, and as a new version; return its number."""
        told = {key: value for key, value in tags.items() if key != EARLIER_TAG}
        earlier = {EARLIER_TAG: run.data.tags[EARLIER_TAG]} if EARLIER_TAG in run.data.tags else {}
        self._client.log_model_artifacts(logged.model_id, str(model))
        self._client.finalize_logged_model(logged.model_id, "READY")
        self._client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self._create_name(name)
        made = self._client.create_model_version(
            name,
            logged.artifact_location,  # models:/ID would be looked up in MLflow's default store
            run.info.run_id,
            tags={**told, **earlier},
            description="\n".join(f"- {key}: {value}" for key, value in told.items()),
            model_id=logged.model_id,
        )
        shown = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(logged.model_id, {MLFLOW_MODEL_VERSIONS: shown})  # the link in MLflow's UI
        return int(made.version)

    def _create_name(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _version(found: ModelVersion, aliases: Mapping[str, str]) -> RegisteredVersion:
    own = sorted(alias for alias, number in aliases.items() if int(number) == int(found.version))
    return RegisteredVersion(found.name, int(found.version), found.run_id or "", tuple(own), dict(found.tags))


def _local(location: str) -> Path | None:
    """Return the folder on this machine that an artifact location names, None where it names none."""
    parts = urlsplit(location)
    folder = Path(unquote(parts.path))
    return folder if parts.scheme in ("", "file") and folder.is_dir() else None


def _download(location: str, target: Path, uri: str) -> None:
    """Copy an MLflow model from where a server keeps it, complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        copy = mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=scratch, tracking_uri=uri)
        Path(copy).replace(target)


def _answers(version: RegisteredVersion, reference: str) -> bool:
    name, alias = version.name, reference
    if "@" in reference:
        name, _, alias = reference.rpartition("@")
        return version.name == name and alias in version.aliases
    default = version.name == DEFAULT_NAME and reference in version.aliases
    return default or reference == f"{version.name}/{version.version}" or version.made_by(reference)


def _shown(version: RegisteredVersion) -> str:
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    return f"{version.name}/{version.version}{aliases}"
