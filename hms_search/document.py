"""YAML documents that remember where each value was written, so that an error can name its file and line.

Read with ruamel (YAML 1.2): PyYAML takes ``1e-3`` for a string, ``no`` for false and lets a duplicate key win silently.
A document may be anybody's: it makes no objects (no tags are read), and no more of them than it has room to write down
(aliases that multiply each other are refused before anything is built).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from hms_search.errors import ConfigError

Path_ = tuple[str | int, ...]

_MOST_VALUES, _DEEPEST, _SHOWN = 100_000, 50, 80
"""Of a document with its aliases filled in; a study has some hundred values, six levels deep."""
_NO_NUMBER = 2**64
"""Whole numbers are smaller: a seed has 64 bits at most, and what is longer than 4,300 digits Python does not write."""


@dataclass(frozen=True)
class Document:
    """A YAML document as plain Python values, with the place (``file:line``) of each path in it."""

    content: Any
    places: Mapping[Path_, str]

    def place(self, path: Path_) -> str:
        """Return where ``path``, or its nearest parent that was written down, stands."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return "?"

    def mounted(self, key: str, other: "Document") -> "Document":
        """Return this document with the whole of ``other`` as the value of the top-level ``key``."""
        places = {path: place for path, place in self.places.items() if path[:1] != (key,)}
        places |= {(key, *path): place for path, place in other.places.items()}
        return Document({**self.content, key: other.content}, places)

    def with_setting(self, setting: str) -> "Document":
        """Return this document with one ``dotted.path=value`` (the value is YAML) put in.

        A missing mapping on the way is created, so that a default can be set too; the validation that follows says
        whether the path exists. Raises ConfigError where the path runs into something that is no mapping.
        """
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted.strip():
            raise ConfigError(f"--set expects path=value, found {setting!r}; for example --set trials=40")
        value = parse_yaml(text, source=f"--set {dotted}").content
        return self.with_value(dotted.strip(), value, place=f"--set {dotted}")

    def with_value(self, dotted: str, value: Any, *, place: str) -> "Document":
        """Return this document with a value at a dotted path; errors in it will name ``place``."""
        keys = _keys_of(self.content, dotted)
        content = _put(self.content, keys, value, place)
        return replace(self, content=content, places={**self.places, tuple(keys): place})

    def popped(self, key: str) -> tuple["Document", Any]:
        """Return this document without a top-level key, and the key's value, None where there is none."""
        return replace(self, content={k: v for k, v in self.content.items() if k != key}), self.content.get(key)


def read_yaml(path: Path) -> Document:
    """Return the document in a YAML file; raises ConfigError for a missing, unreadable or malformed file.

    What is no regular file is not opened: a pipe would be waited for, and a device need not end.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"cannot read {path}: it is no file; name a YAML file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a name that no file can have
        raise ConfigError(f"cannot read {path}: {error}") from None
    return parse_yaml(text, source=str(path))


def parse_yaml(text: str, *, source: str) -> Document:
    """Return the document in ``text``; ``source`` names it in errors.

    Raises ConfigError, with the line, for malformed YAML, for duplicate keys, for tags, for keys that are no plain
    values, for whole numbers of more than 64 bits, and for a document that is larger or deeper than any of ours.
    """
    try:
        for event, size, depth in _measured(_with_plain_keys(source, _reader().parse(text))):
            _check(source, event, size, depth)
        tree = _reader().load(text)
    except DuplicateKeyError as error:
        raise ConfigError(f"{_marked(source, error)}: {error.problem}; keep one of them") from None
    except MarkedYAMLError as error:
        raise ConfigError(f"{_marked(source, error)}: not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError) as error:  # ValueError: a number with more digits than Python reads
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    places: dict[Path_, str] = {(): f"{source}:1"}
    return Document(_plain(tree, (), source, places), places)


def dump_yaml(content: Any) -> str:
    """Return plain Python values as YAML 1.2 text."""
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(content, stream)
    return stream.getvalue()


def _reader() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    return yaml


def _with_plain_keys(source: str, events: Iterable[Event]) -> Iterator[Event]:
    """Give events on; raises ConfigError at a key that is a list or a mapping: it cannot be told from others."""
    opened: list[bool | None] = []  # of each mapping whether a key is next, None of a list
    collections: set[str | None] = set()
    for event in events:
        if isinstance(event, NodeEvent):
            is_collection = isinstance(event, MappingStartEvent | SequenceStartEvent)
            if opened and opened[-1] is not None:
                if opened[-1] and (is_collection or (isinstance(event, AliasEvent) and event.anchor in collections)):
                    where = f"{source}:{event.start_mark.line + 1}"
                    raise ConfigError(f"{where}: expected a word or a number as key, found a list or a mapping")
                opened[-1] = not opened[-1]
            if is_collection:
                collections.add(event.anchor)
                opened.append(True if isinstance(event, MappingStartEvent) else None)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            opened.pop()
        yield event


def _measured(events: Iterable[Event]) -> Iterator[tuple[Event, int, int]]:
    """Give each event with how many values there are up to it, aliases filled in, and how deep it is."""
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    size = 0
    for event in events:
        if isinstance(event, AliasEvent):
            is_endless = any(anchor == event.anchor for anchor, _ in opened)
            size += _MOST_VALUES if is_endless else sizes.get(event.anchor, 0)
        elif isinstance(event, ScalarEvent):
            size += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            opened.append((event.anchor, size))
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            anchor, before = opened.pop()
            size += 1
            sizes |= {anchor: size - before} if anchor else {}
        yield event, size, len(opened)


def _check(source: str, event: Event, size: int, depth: int) -> None:
    """Raise ConfigError where an event has a tag, or where there are more values up to it than in any of ours."""
    where = f"{source}:{event.start_mark.line + 1}"
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise ConfigError(f"{where}: a tag, {str(tag)[:_SHOWN]}; write the plain value: no tags are read")
    if size > _MOST_VALUES:
        raise ConfigError(f"{where}: more than {_MOST_VALUES} values, aliases filled in; that is no document of ours")
    if depth > _DEEPEST:
        raise ConfigError(f"{where}: more than {_DEEPEST} levels deep; that is no document of ours")


def _marked(source: str, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{source}:{mark.line + 1}" if mark is not None else source


def _plain(node: Any, path: Path_, source: str, places: dict[Path_, str]) -> Any:
    if isinstance(node, CommentedMap):
        for key in node:
            where = f"{source}:{node.lc.key(key)[0] + 1}" if key in node.lc.data else places[path]
            _check_key(key, where)
            places[(*path, key)] = where
        return {key: _plain(value, (*path, key), source, places) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            places[(*path, index)] = f"{source}:{node.lc.item(index)[0] + 1}"
        return [_plain(value, (*path, index), source, places) for index, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        _check_whole(node, places[path])
    for kind in (int, float, str):  # ruamel's scalars are subclasses that remember their spelling
        if isinstance(node, kind):
            return kind(node)
    return node


def _check_key(key: Any, where: str) -> None:
    """Raise ConfigError for a key that is a date or nothing: no key of ours, and none of JSON's."""
    if not isinstance(key, str | int | float):
        found = "nothing" if key is None else str(key)[:_SHOWN]
        raise ConfigError(f"{where}: expected a word or a number as key, found {found}; write a word, in quotes")
    if isinstance(key, int):
        _check_whole(key, where)


def _check_whole(number: int, where: str) -> None:
    """Raise ConfigError for a whole number that nothing of ours can be; not all of them can be written down."""
    if abs(number) >= _NO_NUMBER:
        bits = number.bit_length()
        raise ConfigError(f"{where}: expected a whole number below 2**64, found one of {bits} bits")


def _keys_of(content: Any, dotted: str) -> list[str]:
    """Split a dotted path, taking a key that itself holds dots (``parameters: {model.dropout: ...}``) as one key."""
    keys: list[str] = []
    rest = dotted
    while rest:
        known = [key for key in content if isinstance(key, str)] if isinstance(content, dict) else []
        fitting = [key for key in known if rest == key or rest.startswith(f"{key}.")]
        dotted_keys = any("." in key for key in known)  # a new entry beside dotted ones is dotted too
        key = max(fitting, key=len, default=rest if dotted_keys else rest.split(".")[0])
        keys.append(key)
        content = content.get(key) if isinstance(content, dict) else None
        rest = rest[len(key) + 1 :]
    return keys


def _put(content: Any, keys: list[str], value: Any, place: str) -> Any:
    if not keys:
        return value
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: {keys[0]!r} lies inside {content!r}, which has no keys; set the whole of it")
    return {**content, keys[0]: _put(content.get(keys[0]), keys[1:], value, place)}
