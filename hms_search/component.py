"""Component: the frozen, typed configuration object everything here is built from.

A component is its config and its behaviour: signal steps are called; models, optimisers and schedules have ``build``.
A union of components, told apart by ``name``, is the registry of an option: a new option is one class and its place in
the union.

What a trained model needs imports ``Field`` and the validators from here, never from pydantic: in a Kaggle bundle,
``hms_search/inference/bundled/component.py``, which needs no library, stands in for this module.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Field
from pydantic import field_validator as field_validator
from pydantic import model_validator as model_validator
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
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _fields_at(model, detail["loc"][:-1])
        return f"{where}: {dotted}: unknown key {written[-1]!r}; {suggestion(str(written[-1]), known)}"
    if kind == "missing":
        parents = _written_path(detail["loc"][:-1], document.content)
        return f"{where}: {'.'.join(map(str, (*parents, detail['loc'][-1])))}: missing; add this key"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _wrong_tag(detail, written, document, _tags_at(model, detail["loc"]))
    if kind in {"dict_type", "model_type"} and _is_component(model, detail["loc"]):
        found, components = detail["input"], _components_at(model, detail["loc"])
        words = f"expected a mapping, found {found!r}; {_instead_of(found, components)}"
        return ": ".join(part for part in (where, dotted, words) if part)
    expected = detail["msg"].removeprefix("Input should be ")
    if kind == "value_error" or expected == detail["msg"]:
        own_words = detail["msg"].removeprefix("Value error, ")
        return ": ".join(part for part in (where, dotted, own_words[0].lower() + own_words[1:]) if part)
    return f"{where}: {dotted}: expected {expected}, found {detail['input']!r}"


def _wrong_tag(detail: ErrorDetails, written: tuple[str | int, ...], document: Document, known: set[str]) -> str:
    context = detail.get("ctx", {})
    key = str(context.get("discriminator", "name")).strip("'")
    where, dotted = document.place((*written, key)), ".".join(map(str, written))
    choices = f"choose one of {', '.join(sorted(known))}"
    tag = context.get("tag")
    found = f"unknown {key} {tag!r}; {choices}" if tag else f"has no {key}; write {{{key}: ...}} and {choices}"
    return f"{where}: {dotted}: {found}"


def _instead_of(found: Any, components: set[type[Component]]) -> str:
    """Return the mapping to write where a word or a number stands in a component's place."""
    tags = {tag: key for component in components for key, tag in _tags_of(component)}
    if not tags:
        fields = [field for component in components for field in component.model_fields]
        return f"write {{{fields[0]}: ...}}; known: {', '.join(fields)}"
    if isinstance(found, str) and found in tags:
        return f"write {{{tags[found]}: {found}}}"
    return f"write {{{next(iter(tags.values()))}: ...}} and choose one of {', '.join(sorted(tags))}"


def _written_path(loc: tuple[str | int, ...], content: Any) -> tuple[str | int, ...]:
    """Drop what pydantic adds to a location (the tags of unions) and keep what stands in the document."""
    path: list[str | int] = []
    for key in loc:
        names: dict[str | int, Any] = {_in_json(name): name for name in content} if isinstance(content, dict) else {}
        in_mapping = key in names
        key = names.get(key, key)  # a number or a truth value, as it is written
        in_list = isinstance(content, list) and isinstance(key, int) and key < len(content)
        if in_mapping or in_list:
            content = content[key]
            path.append(key)
    return tuple(path)


def _in_json(key: str | float) -> str:
    """Return what a key is called in JSON, which has words only."""
    return str(next(iter(json.loads(json.dumps({key: None})))))


def _fields_at(model: type[Component], loc: tuple[str | int, ...]) -> set[str]:
    """Return the field names that the component(s) at a location know."""
    return {field for component in _components_at(model, loc) for field in component.model_fields}


def _tags_at(model: type[Component], loc: tuple[str | int, ...]) -> set[str]:
    """Return the names that tell the members of the union at a location apart."""
    return {tag for component in _components_at(model, loc) for _, tag in _tags_of(component)}


def _is_component(model: type[Component], loc: tuple[str | int, ...]) -> bool:
    """Say whether a component belongs at a location, not a mapping whose keys are the user's own."""
    holders = _components_at(model, loc[:-1]) if loc else set()
    fields = [holder.model_fields[str(loc[-1])] for holder in holders if loc[-1] in holder.model_fields]
    return bool(_components_at(model, loc)) and all(get_origin(field.annotation) is not dict for field in fields)


def _components_at(model: type[Component], loc: tuple[str | int, ...]) -> set[type[Component]]:
    candidates: set[type[Component]] = {model}
    for key in loc:
        holders = [component for component in candidates if key in component.model_fields]
        if holders:
            found: set[type[Component]] = set()
            for component in holders:
                found |= set(_components_in(component.model_fields[str(key)].annotation))
            candidates = found
        else:
            tagged = {component for component in candidates if key in {tag for _, tag in _tags_of(component)}}
            candidates = tagged or candidates
    return candidates


def _components_in(annotation: Any) -> Iterator[type[Component]]:
    if isinstance(annotation, type) and issubclass(annotation, Component):
        yield annotation
    for argument in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _components_in(argument)


def _tags_of(component: type[Component]) -> Iterator[tuple[str, str]]:
    """Yield what tells a component from others of a union: the key, and what it may be."""
    for key in ("name", "type", "source"):
        annotation = component.model_fields[key].annotation if key in component.model_fields else None
        if get_origin(annotation) is Literal:
            yield from ((key, str(value)) for value in get_args(annotation))
