"""What a study takes of the disk of this machine."""

from collections.abc import Mapping
from urllib.parse import quote

import optuna

from hms_search.data.disk import bytes_in
from hms_search.search.data_config import DataConfig
from hms_search.search.places import Places
from hms_search.search.study_attributes import stored_config


def disk_use(storage: optuna.storages.BaseStorage, name: str, places: Places) -> Mapping[str, int]:
    """Return how many bytes lie under ``mlruns`` for a study, by what they are.

    The prepared recordings are shared by all studies on them. Runs and files that a server keeps are not counted.
    """
    config = stored_config(optuna.load_study(study_name=name, storage=storage))
    prepared = places.prepared(config.get("task", "hms"), DataConfig.model_validate(config["data"]))
    return {
        "checkpoints": bytes_in(places.trials(name)),
        "files of runs": bytes_in(places.artifacts / quote(name, safe="")),
        "prepared recordings": 0 if prepared is None else bytes_in(prepared),
    }
