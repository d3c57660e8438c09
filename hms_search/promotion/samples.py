"""The samples of a recorded study, opened again."""

from collections.abc import Callable

from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.errors import StudyError
from hms_search.search.events import Event
from hms_search.search.places import Places
from hms_search.search.recorded import RecordedStudy
from hms_search.search.study_data import ReportProgress, study_samples

StudySamples = Store | SeizureTypes
"""What a study learns from."""


def open_samples(
    study: RecordedStudy,
    data: str | None,
    places: Places,
    *,
    notify: Callable[[Event], None],
    progress: ReportProgress,
) -> StudySamples:
    """Return what a study learned from, prepared first where it is missing; ``data`` says where it lies now.

    They need not be the recordings that the study was run on: see :func:`check_same`.
    """
    sources = study.config.data if data is None else study.config.data.model_copy(update={"root": data})
    config = study.config.model_copy(update={"data": sources})
    return study_samples(config, places, progress=progress, notify=notify)


def check_same(store: StudySamples, study: RecordedStudy) -> None:
    """Raise StudyError unless the samples are those that the study was run on."""
    if store.fingerprint != study.contract.data:
        raise StudyError(
            f"study {study.config.name!r} was run on recordings with fingerprint {study.contract.data}, these have "
            f"{store.fingerprint}; give the same recordings as --data ROOT"
        )
