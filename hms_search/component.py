"""Component: the frozen, typed configuration object everything here is built from.

A component is its config and its behaviour: signal steps are called; models, optimisers and schedules have ``build``.
A union of components, told apart by ``name``, is the registry of an option: a new option is one class and its place in
the union.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from hms_search.document import Document, read_yaml
from hms_search.errors import ConfigError


class Component(BaseModel):
    """A frozen configuration; unknown keys are refused, NaN and infinity too.

    Two components with the same fields are equal, hash equally and share their :meth:`fingerprint`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Return the component in a YAML file; raises ConfigError naming every fault with its line."""
        return cls.from_document(read_yaml(path))

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """Return the component a document describes; raises ConfigError naming every fault with its line.

        Types are taken as written: the string ``"0.1"`` is not a number, ``true`` is not 1.
        """
        try:
            return cls.model_validate_json(json.dumps(document.content, default=str), strict=True)
        except ValidationError as error:
            raise ConfigError("\n".join(faults(cls, error, document))) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the full configuration, defaults included, as plain JSON types."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Return 12 hex digits that name this configuration: the SHA-256 of its canonical JSON."""
        return fingerprint_of(self.to_dict())


def fingerprint_of(document: Any) -> str:
    """Return 12 hex digits of the SHA-256 of a JSON document with sorted keys."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def faults(model: type[Component], error: ValidationError, document: Document) -> list[str]:
    """Return one line per fault of a validation: where, which key, what was expected and found, what to write."""
    return [_fault(model, detail, document) for detail in error.errors(include_url=False)]


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'lr'?`` for a near miss, else the known words."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _fault(model: type[Component], detail: ErrorDetails, document: Document) -> str:
    written = _written_path(detail["loc"], document.content)
    where, dotted = document.place(written), ".".join(map(str, written))
    kind, found = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        parent = _fields_at(model, detail["loc"][:-1])
        return f"{where}: {dotted}: unknown key {written[-1]!r}; {suggestion(str(written[-1]), parent)}"
    if kind == "missing":
        parents = _written_path(detail["loc"][:-1], document.content)
        return f"{where}: {'.'.join(map(str, (*parents, detail['loc'][-1])))}: missing; add this key"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        context = detail.get("ctx", {})
        expected = [tag.strip(" '") for tag in str(context.get("expected_tags", "")).split(",") if tag.strip(" '")]
        key = str(context.get("discriminator", "name")).strip("'")
        tag = context.get("tag")
        choices = f"choose one of {', '.join(expected)}" if expected else f"give it as {{{key}: ...}}"
        return f"{where}: {dotted}: " + (f"unknown {key} {tag!r}; {choices}" if tag else f"has no {key}; {choices}")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if message == detail["msg"] or kind == "value_error":
        message = message[0].lower() + message[1:]
        return f"{where}: {dotted}: {message}" if dotted else f"{where}: {message}"
    return f"{where}: {dotted}: expected {message}, found {found!r}"


def _written_path(loc: tuple[str | int, ...], content: Any) -> tuple[str | int, ...]:
    """Drop what pydantic adds to a location (the tags of unions) and keep what stands in the document."""
    path: list[str | int] = []
    for position, key in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(content, dict) and key in content:
            content = content[key]
        elif isinstance(content, list) and isinstance(key, int) and key < len(content):
            content = content[key]
        elif not last or (isinstance(content, dict) and content.get("name", content.get("type")) == key):
            continue
        elif not isinstance(content, dict):
            continue
        path.append(key)
    return tuple(path)


def _fields_at(model: type[Component], loc: tuple[str | int, ...]) -> set[str]:
    """Return the field names that the component(s) at a location know."""
    candidates: set[type[Component]] = {model}
    for key in loc:
        holders = [component for component in candidates if key in component.model_fields]
        if holders:
            found: set[type[Component]] = set()
            for component in holders:
                found |= set(_components_in(component.model_fields[str(key)].annotation))
            candidates = found
        else:
            tagged = {component for component in candidates if key in _tags_of(component)}
            candidates = tagged or candidates
    return {field for component in candidates for field in component.model_fields}


def _components_in(annotation: Any) -> Iterator[type[Component]]:
    if isinstance(annotation, type) and issubclass(annotation, Component):
        yield annotation
    for argument in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _components_in(argument)


def _tags_of(component: type[Component]) -> set[str]:
    return {
        str(value)
        for key in ("name", "type")
        if key in component.model_fields
        for value in get_args(component.model_fields[key].annotation)
    }
