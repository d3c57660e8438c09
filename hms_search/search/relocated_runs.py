"""The runs and registered models of studies that are relocated, and what of them is left where it was."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hms_search.search.events import Event, Notice
from hms_search.search.places import Places
from hms_search.search.storage import same_address
from hms_search.search.study_copy import StudyRecord
from hms_search.search.study_data import ReportProgress
from hms_search.tracking import NO_TRACKING
from hms_search.tracking.copied_run import Copied
from hms_search.tracking.copying import StudyRuns, ensembles_naming
from hms_search.tracking.copying_models import copy_versions
from hms_search.tracking.registry import ModelRegistry

_RUN_KEY = "mlflow_run_id"


@dataclass(frozen=True)
class RelocatedRuns:
    """The new ids of runs by their old ones, how much was copied, and how many versions of registered models."""

    ids: Mapping[str, str]
    copied: Copied
    versions: int


def relocate_runs(
    records: Sequence[StudyRecord],
    source: Places,
    target: Places,
    *,
    reserve: Callable[[], None],
    notify: Callable[[Event], None],
    progress: ReportProgress,
) -> RelocatedRuns:
    """Copy the runs of studies, and the models they made; ``reserve`` is called when nothing forbids it.

    What is left is said in a notice.
    """
    if left := _left(source, target):
        notify(Notice(left))
        reserve()
        return RelocatedRuns({}, Copied(), 0)
    uris = source.tracking_uri, target.tracking_uri
    studies = [StudyRuns(*uris, target.artifacts, study=record.name) for record in records]
    for study in studies:
        study.check()
    reserve()
    ids: dict[str, str] = {}
    for record, study in zip(records, studies, strict=True):
        ids |= study.create(partial(progress, f"naming runs of {record.name}"))
    copied = Copied()
    for record, study in zip(records, studies, strict=True):
        copied += study.fill(ids, partial(progress, f"copying runs of {record.name}"))
    versions = _versions(source, target, ids, notify, progress) if ids else 0
    for text in (*_unknown(records, ids, source), *ensembles_naming(source.tracking_uri, ids)):
        notify(Notice(text))
    return RelocatedRuns(ids, copied, versions)


def _left(source: Places, target: Places) -> str:
    """Return why no runs are copied at all; nothing where they are."""
    if source.tracking_uri == NO_TRACKING:
        return "no runs are copied: --tracking-uri none names no MLflow"
    if target.tracking_uri == NO_TRACKING:
        return "no runs are copied: --to-tracking-uri none leaves them where they are"
    if same_address(source.tracking_uri, target.tracking_uri):
        return "no runs are copied: both storages keep them in the same MLflow"
    return ""


def _versions(
    source: Places, target: Places, ids: Mapping[str, str], notify: Callable[[Event], None], progress: ReportProgress
) -> int:
    """Copy the registered versions that the runs have made; return how many were copied now."""
    before, after = (ModelRegistry(place.tracking_uri, place.artifacts) for place in (source, target))
    copied = 0
    for one, step in copy_versions(before, after, ids):
        copied += one.is_new
        if one.number != one.version.version:
            notify(Notice(f"{one.version.name}/{one.version.version} is {one.version.name}/{one.number} there"))
        for text in one.left:
            notify(Notice(text, warning=True))
        progress("copying registered models", step)
    return copied


def _unknown(records: Sequence[StudyRecord], ids: Mapping[str, str], source: Places) -> tuple[str, ...]:
    """Say how many trials name a run that their MLflow does not have."""
    named = [run for record in records for trial in record.trials if (run := trial.user_attrs.get(_RUN_KEY))]
    missing = sum(run not in ids for run in named)
    where = "the MLflow that was named" if source.tracking else "mlruns"
    return (f"{missing} trials name runs that {where} does not have; they keep those names",) if missing else ()
