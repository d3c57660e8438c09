"""What a study keeps of itself in its storage, and under which names; read without knowing what it means."""

from typing import Any

import optuna

from hms_search.errors import StudyError
from hms_search.search.foreign import why_foreign

CONFIG_KEY = "hms_search:config"
CONTRACT_KEY = "hms_search:contract"


def stored_config(study: optuna.Study) -> dict[str, Any]:
    """Return the study's configuration as it was created; raises StudyError for a study made elsewhere."""
    if CONFIG_KEY not in study.user_attrs:
        raise StudyError(why_foreign(study.study_name, study.user_attrs))
    return dict(study.user_attrs[CONFIG_KEY])


def study_names(storage: optuna.storages.BaseStorage) -> list[str]:
    """Return the names of all studies; Optuna's summaries would read every trial of each."""
    return [study.study_name for study in storage.get_all_studies()]
