"""``hms-search doctor``: what is wrong with the stores and with a study, once the installation works."""

from dataclasses import replace

from hms_search.cli.findings import print_findings
from hms_search.search.doctor import findings
from hms_search.search.findings import Finding
from hms_search.search.history import study_history
from hms_search.search.places import Places
from hms_search.search.session import in_session
from hms_search.search.storage import existing_storage
from hms_search.search.stores import store_findings


def doctor_command(study: str | None, places: Places) -> tuple[Finding, ...]:
    """Print what is wrong with the stores and, where one is named, with a study; return it."""
    of_stores = store_findings(places)
    print_findings("stores", of_stores)
    if study is None:
        return of_stores
    with existing_storage(places.storage) as storage:
        history = study_history(storage, study)
        of_study = findings(replace(history, abandoned=not in_session(places, study, storage)))
    print_findings(f"study {study}", of_study)
    return of_stores + of_study
