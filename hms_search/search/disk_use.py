"""What a study takes of the disk of this machine."""

from collections.abc import Mapping
from urllib.parse import quote

import optuna

from hms_search.data.disk import bytes_in
from hms_search.search.places import Places
from hms_search.search.study import StudyConfig, stored_config
from hms_search.search.unused_data import store_of


def disk_use(storage: optuna.storages.BaseStorage, name: str, places: Places) -> Mapping[str, int]:
    """Return how many bytes lie under ``mlruns`` for a study, by what they are.

    The prepared recordings are shared by all studies on them. Runs and files that a server keeps are not counted.
    """
    study = optuna.load_study(study_name=name, storage=storage)
    prepared = store_of(StudyConfig.model_validate(stored_config(study)), places)
    return {
        "checkpoints": bytes_in(places.trials(name)),
        "files of runs": bytes_in(places.artifacts / quote(name, safe="")),
        "prepared recordings": 0 if prepared is None else bytes_in(prepared),
    }
