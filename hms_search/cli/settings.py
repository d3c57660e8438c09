"""What the options of ``hms-search run`` and ``plan`` put into a study, beside its ``--set``."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hms_search.errors import ConfigError
from hms_search.search.study import study_document

DATA_VARIABLE = "HMS_SEARCH_DATA"


def run_settings(path: Path, settings: Sequence[str], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the settings of a study, those of the options among them; ``given`` has theirs by path, None where none.

    An executor replaces another one of the study's file, so that nothing is left of that but what ``settings`` say.
    The recordings of :data:`DATA_VARIABLE` are read where nothing else names any.

    Raises ConfigError for an address that no Ray cluster would be looked for at.
    """
    options = {name: value for name, value in given.items() if value is not None}
    executor, environment = options.get("executor.name"), os.environ.get(DATA_VARIABLE)
    chosen = (*settings, *(f"{name}={json.dumps(value)}" for name, value in options.items()))
    if executor is not None and _name_of(study_document(path).content) != executor:
        chosen = (f"executor={json.dumps({'name': executor})}", *chosen)
    if "executor.address" in options and (found := _name_of(study_document(path, chosen).content)) != "ray":
        raise ConfigError(f"--address is that of a Ray cluster, found executor {found}; add --executor ray")
    if environment and "data.root" not in options and not _has_data(study_document(path, chosen).content):
        chosen = (*chosen, f"data.root={json.dumps(environment)}")
    return chosen


def _name_of(study: Mapping[str, Any]) -> str | None:
    """Return the name of a study's executor."""
    executor = study.get("executor", {})
    return executor.get("name", "local") if isinstance(executor, dict) else None


def _has_data(study: Mapping[str, Any]) -> bool:
    """Say whether a study names its recordings."""
    found = study.get("data") or {}
    return not isinstance(found, dict) or found.get("root") is not None
