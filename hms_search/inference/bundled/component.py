"""Stands in for ``hms_search.component`` in a Kaggle bundle, where pydantic may be missing or of another version.

It reads what the real Component wrote. Nothing is validated but the names of fields: a bundle's configuration was
validated before it was exported.
"""

import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

_REQUIRED = object()


def Field(default: Any = _REQUIRED, **_rules: Any) -> Any:
    """Return the default; the rules were checked before the export."""
    return default


def field_validator(*_fields: str, **_options: Any) -> Callable[[Any], Any]:
    """Return a decorator that leaves a validator as it is; nothing calls it."""
    return lambda validator: validator


model_validator = field_validator


class Component:
    """A frozen configuration, read from what its validated original wrote."""

    def __init__(self, **values: Any) -> None:
        fields = _fields_of(type(self))
        unknown, missing = values.keys() - fields.keys(), []
        for name, (annotation, default) in fields.items():
            if name not in values and default is _REQUIRED:
                missing.append(name)
            self.__dict__[name] = _read(annotation, values[name]) if name in values else default
        if unknown or missing:
            raise ValueError(f"{type(self).__name__}: unknown fields {sorted(unknown)}, missing fields {missing}")

    @classmethod
    def model_validate(cls, content: Any) -> Self:
        """Return the component that ``to_dict`` of its original described; raises ValueError where it cannot be."""
        if isinstance(content, cls):
            return content
        if not isinstance(content, Mapping):
            raise ValueError(f"{cls.__name__}: expected a mapping, found {content!r}")
        return cls(**content)

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Return a copy with some fields replaced."""
        return type(self)(**{**self.__dict__, **update})

    def to_dict(self) -> dict[str, Any]:
        """Return the full configuration, defaults included, as plain JSON types."""
        return {name: _plain(self.__dict__[name]) for name in _fields_of(type(self))}

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def _fields_of(component: type[Component]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (annotation, getattr(component, name, _REQUIRED))
        for name, annotation in get_type_hints(component).items()
        if not name.startswith("_") and get_origin(annotation) is not ClassVar
    }


def _read(annotation: Any, value: Any) -> Any:
    """Return a JSON value as the type its field has."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _read(inner[0], value)
    if origin in (Union, types.UnionType):
        return _read(next((member for member in inner if _fits(member, value)), Any), value)
    if isinstance(annotation, type) and issubclass(annotation, Component):
        return annotation.model_validate(value)
    if origin in (tuple, list) and isinstance(value, list | tuple):
        members = inner if origin is tuple and inner[1:] != (...,) else inner[:1] * len(value)
        return origin(_read(member, part) for member, part in zip(members, value, strict=True))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _read(inner[1], part) for key, part in value.items()}
    return value


def _fits(member: Any, value: Any) -> bool:
    """Return whether a value is of a union's member: of components, the one whose fixed words the value has.

    The words of components within it count, too.
    """
    if isinstance(member, type) and issubclass(member, Component):
        fields = _fields_of(member)
        known = isinstance(value, Mapping) and value.keys() <= fields.keys()
        return isinstance(value, member) or (known and all(_names(fields[name][0], value[name]) for name in value))
    if get_origin(member) is Annotated:
        return _fits(get_args(member)[0], value)
    if get_origin(member) in (Union, types.UnionType):
        return any(_fits(part, value) for part in get_args(member))
    kind = get_origin(member) or member
    if kind is Literal:
        return value in get_args(member)
    return isinstance(value, list) if kind is tuple else not isinstance(kind, type) or isinstance(value, kind)


def _names(annotation: Any, value: Any) -> bool:
    """Return whether a value has the fixed words of what a field holds, where it has any."""
    fixed = get_origin(annotation) is Literal or (isinstance(annotation, type) and issubclass(annotation, Component))
    return not fixed or _fits(annotation, value)


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return value.to_dict()
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return value
