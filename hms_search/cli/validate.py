"""``hms-search validate`` and ``schema``."""

from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from hms_search.component import Component
from hms_search.document import read_yaml
from hms_search.errors import ConfigError
from hms_search.promotion.system_file import System, read_system
from hms_search.search.space import SearchSpace
from hms_search.search.study import StudyConfig, read_study


def validate_command(files: list[Path]) -> int:
    """Print the verdict on each file; return the exit code, 2 where any has a fault."""
    console, failed = Console(soft_wrap=True, highlight=False, emoji=False), False
    for file in files:
        try:
            console.print(f"{file}: {_verdict(file)}", markup=False)
        except ConfigError as error:
            failed = True
            console.print(str(error), style="red", markup=False)
    return 2 if failed else 0


def schema_of(kind: Literal["study", "space", "system"]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a kind of YAML file.

    In a study's file ``space`` may also be the path of a space's file, which ``settings`` change.
    """
    models: dict[str, type[Component]] = {"study": StudyConfig, "space": SearchSpace, "system": System}
    schema = models[kind].model_json_schema()
    if kind == "study":
        properties = schema["properties"]
        properties["space"] = {"anyOf": [{"type": "string", "description": "a space's YAML file"}, properties["space"]]}
        properties["settings"] = {"type": "object", "description": "path: value, put into the study and its space"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hms-search {kind}", **schema}


def _verdict(file: Path) -> str:
    document = read_yaml(file)
    if isinstance(document.content, dict) and "base" in document.content:
        space = SearchSpace.from_document(document)
        return f"a valid search space with {len(space.parameters)} parameters"
    if isinstance(document.content, dict) and "members" in document.content:
        studies = read_system(str(file)).studies()
        return f"a valid system of {len(studies)} members"
    study = read_study(file)
    count = f"{study.trials} trials"
    if study.rounds is not None:
        rounds = study.rounds
        count = f"{rounds.count * rounds.trials} trials in {rounds.count} rounds"
    return f"a valid study of {count} over {len(study.space.parameters)} parameters"
