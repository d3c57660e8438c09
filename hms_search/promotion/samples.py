"""The samples of a recorded study, opened again."""

from collections.abc import Callable

from hms_search.data.store import Store
from hms_search.errors import StudyError
from hms_search.search.events import Event
from hms_search.search.recorded import RecordedStudy
from hms_search.search.session import Places, ReportProgress, open_store, prepared_data


def open_samples(
    study: RecordedStudy,
    data: str | None,
    places: Places,
    *,
    notify: Callable[[Event], None],
    progress: ReportProgress,
) -> Store:
    """Return the Store of a study's recordings, prepared first where it is missing; ``data`` says where they lie now.

    They need not be the ones the study was run on: see :func:`check_same`.
    """
    sources = study.config.data if data is None else study.config.data.model_copy(update={"root": data})
    path = prepared_data(sources, places, progress=progress, notify=notify)
    return open_store(study.config, path, progress=progress)


def check_same(store: Store, study: RecordedStudy) -> None:
    """Raise StudyError unless the samples are those that the study was run on."""
    if store.fingerprint != study.contract.data:
        raise StudyError(
            f"study {study.config.name!r} was run on recordings with fingerprint {study.contract.data}, these have "
            f"{store.fingerprint}; give the same recordings as --data ROOT"
        )
