"""docker-compose.yml as an engine reads it: variables filled in, anchors merged; and the specification's schema."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[1]
COMPOSE = REPOSITORY / "docker-compose.yml"

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<rule>:[-?+])(?P<word>[^}]*))?\})")


class MissingVariable(Exception):
    """A variable that has to be given is not, or is empty."""


def read_compose(file: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    tree = YAML(typ="safe", pure=True).load(file.read_text())
    filled: dict[str, Any] = _filled(tree, variables)
    return filled


def compose_schema() -> Any:
    """The compose specification's JSON schema, as the package check-jsonschema ships it."""
    vendored = files("check_jsonschema").joinpath("builtin_schemas", "vendor", "compose-spec.json")
    return json.loads(vendored.read_text())


def example_variables() -> dict[str, str]:
    """The variables that .env.example sets, with their values."""
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    return _VARIABLE.sub(lambda found: _value(found, variables), node) if isinstance(node, str) else node


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    value = variables.get(found["name"], "")
    if not value and found["rule"] == ":?":
        raise MissingVariable(f"{found['name']}: {found['word']}")
    if found["rule"] == ":+":
        return found["word"] if value else ""
    return value or found["word"] or ""
