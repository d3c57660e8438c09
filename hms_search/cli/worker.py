"""``hms-search worker``: one more session of a study that is on a database server."""

from dataclasses import dataclass
from typing import Any

import optuna

from hms_search.cli.run import run_and_report
from hms_search.errors import StudyError
from hms_search.search.lineage import FIRST_KEY
from hms_search.search.patient_storage import has_server
from hms_search.search.places import Places
from hms_search.search.report import find_report
from hms_search.search.storage import existing_storage
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import stored_config


@dataclass(frozen=True)
class OfThisMachine:
    """What of a study may differ from machine to machine; None is as the study says, or no timeout."""

    data: str | None = None
    workers: int | None = None
    timeout_s: float | None = None
    device: str | None = None

    def put_into(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return a study's configuration with it; this machine's workers are processes of its own."""
        own = {"executor": {"name": "local"}, "timeout_s": self.timeout_s}
        given = {"workers": self.workers, "device": self.device}
        data = content["data"] if self.data is None else {**content["data"], "root": self.data}
        return {**content, **own, "data": data, **{name: value for name, value in given.items() if value is not None}}


def worker_command(study: str, machine: OfThisMachine, places: Places) -> None:
    """Help a study until it is over, and print its report as ``run`` does."""
    config = stored_study(study, machine, places)
    run_and_report(config, places, again=f"hms-search worker {config.name}", helps=True)


def stored_study(study: str, machine: OfThisMachine, places: Places) -> StudyConfig:
    """Return the configuration of a study on a database server, that of the first of its rounds.

    Raises StudyError where there is no study of that name, or its storage is a file.
    """
    with existing_storage(places.storage) as storage:
        if not has_server(storage):
            raise StudyError(
                f"study {study!r} is in a file of this machine, which one session has alone: hms-search run STUDY.yaml "
                "--workers N trains several trials at a time. For several machines give a database server: "
                "--storage postgresql+psycopg://user:password@host/database"
            )
        find_report(storage, study)  # says what there is instead
        first = optuna.load_study(study_name=study, storage=storage).user_attrs.get(FIRST_KEY, study)
        found = optuna.load_study(study_name=first, storage=storage)
        return StudyConfig.model_validate(machine.put_into(stored_config(found)))
