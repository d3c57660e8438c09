"""System files: the final ensembles of published write-ups, each member a study and what differs from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from hms_search.component import Component, Field
from hms_search.document import Document, read_yaml
from hms_search.ensemble.fit import Method
from hms_search.ensemble.fit_weights import Mean
from hms_search.errors import ConfigError
from hms_search.inference.model_folder import Heads
from hms_search.search.study import StudyConfig, study_document, study_from_document

SYSTEMS = Path("studies/systems")
"""Where systems are looked for by name."""


_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
"""Part of the names of folders."""


class Member(Component):
    """A model of a system: the base of a study's space, with some of its ``settings`` changed (path: value)."""

    study: str
    settings: dict[str, Any] = Field(default_factory=dict)


class System(Component):
    """An ensemble to be built from nothing: its members, trained on the same folds, and how they are blended.

    Attributes
    ----------
    members
        By name. Studies are files, relative to the system's.
    method
        How the members' out-of-fold predictions become one.
    n_folds, epochs, seeds
        Of every member; null: its study's.
    tta
        The test-time augmentation the ensemble is to be used with.
    """

    name: _Name
    description: str = ""
    members: dict[_Name, Member] = Field(min_length=2)
    method: Method = Mean()
    n_folds: int | None = Field(None, ge=2)
    epochs: int | None = Field(None, ge=1)
    seeds: int | None = Field(None, ge=1)
    tta: Heads = "none"


@dataclass(frozen=True)
class SystemFile:
    """A system, and the file that it was read from."""

    path: Path
    document: Document
    system: System

    def studies(self, *, data: str | None = None, settings: Sequence[str] = ()) -> dict[str, StudyConfig]:
        """Return each member's study, with its own settings, the folder of the data and ``path=value`` settings put in.

        Raises ConfigError naming every fault of every member, with file and line.
        """
        studies: dict[str, StudyConfig] = {}
        faults: list[str] = []
        for name, member in self.system.members.items():
            try:
                studies[name] = self._study(name, member, data, settings)
            except ConfigError as error:
                faults += self._placed(name, str(error))
        if faults:
            raise ConfigError("\n".join(dict.fromkeys(faults)))
        return studies

    def _study(self, name: str, member: Member, data: str | None, settings: Sequence[str]) -> StudyConfig:
        here = self.document.place(("members", name, "study"))
        file = self.path.parent / member.study
        if not file.is_file():
            raise ConfigError(f"{here}: members.{name}.study: no such file: {file}; give it relative to {self.path}")
        document = study_document(file)
        for dotted, value in member.settings.items():
            place = self.document.place(("members", name, "settings", dotted))
            document = document.with_value(dotted, value, place=place)
        if data is not None:
            document = document.with_value("data.root", data, place="--data")
        for setting in settings:
            document = document.with_setting(setting)
        study = study_from_document(document)
        if study.task != "hms":
            raise ConfigError(f"{here}: members are studies of task hms, found {member.study} of task {study.task}")
        return study

    def _placed(self, name: str, error: str) -> Iterator[str]:
        """Yield the lines of an error; a fault in a study's files is said to be this member's."""
        for line in error.splitlines():
            known = line.startswith((f"{self.path}:", "--"))
            yield line if known else f"{self.document.place(('members', name))}: member {name}: {line}"


def read_system(reference: str) -> SystemFile:
    """Return a system, by the path of its file or its name; raises ConfigError, naming those there are, for another."""
    path = Path(reference)
    if path.suffix not in {".yaml", ".yml"}:
        path = SYSTEMS / f"{reference}.yaml"
        if not path.is_file():
            there = ", ".join(sorted(file.stem for file in SYSTEMS.glob("*.yaml"))) or "none"
            raise ConfigError(
                f"no system {reference!r}: {SYSTEMS} in this folder holds {there}; give one of them, the path of a "
                "YAML file, or run it where the repository is"
            )
    document = read_yaml(path)
    return SystemFile(path, document, System.from_document(document))
