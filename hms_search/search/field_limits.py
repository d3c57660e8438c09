"""The hard limits of a number in an experiment: what the field's own validation says, whatever a space searches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from hms_search.component import Component


@dataclass(frozen=True)
class Limits:
    """The range that a field accepts; an open end is not in it itself."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def accept(self, value: float) -> bool:
        """Say whether a value lies in the range."""
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)


def limits_of(config: Component, path: str) -> Limits:
    """Return the limits of the field at a dotted path; the entries of a list go by their place.

    Only what the field itself says (``ge``, ``gt``, ``le``, ``lt``); that fields must fit together is for validation
    to tell.
    """
    value: Any = config
    annotations: list[Any] = []
    for key in path.split("."):
        if isinstance(value, Component):
            field = type(value).model_fields[key]
            annotations, value = [field.annotation, *field.metadata], getattr(value, key)
        else:
            annotations, value = list(_entries(annotations, int(key))), value[int(key)]
    constraints = [constraint for annotation in annotations for constraint in _constraints(annotation)]
    return _limits(constraints)


def _entries(annotations: list[Any], place: int) -> Iterator[Any]:
    """Yield what is annotated of one entry of a tuple."""
    for annotation in annotations:
        if get_origin(annotation) is tuple:
            arguments = get_args(annotation)
            yield arguments[0] if arguments[-1] is Ellipsis else arguments[place]
        else:  # tuple[...] | None, or Annotated
            yield from _entries(list(get_args(annotation)), place)


def _constraints(annotation: Any) -> Iterator[Any]:
    """Yield the constraints in an annotation or in a field's metadata."""
    if isinstance(annotation, FieldInfo):
        for part in annotation.metadata:
            yield from _constraints(part)
    elif isinstance(annotation, Ge | Gt | Le | Lt):
        yield annotation
    elif get_origin(annotation) is Annotated or get_origin(annotation) is not tuple:
        for part in get_args(annotation):
            yield from _constraints(part)


def _limits(constraints: list[Any]) -> Limits:
    lows = [(float(one.ge), False) for one in constraints if isinstance(one, Ge)]  # type: ignore[arg-type]
    lows += [(float(one.gt), True) for one in constraints if isinstance(one, Gt)]  # type: ignore[arg-type]
    highs = [(float(one.le), False) for one in constraints if isinstance(one, Le)]  # type: ignore[arg-type]
    highs += [(float(one.lt), True) for one in constraints if isinstance(one, Lt)]  # type: ignore[arg-type]
    low, low_open = max(lows, default=(-math.inf, False))
    high, high_open = min(highs, key=lambda one: (one[0], not one[1]), default=(math.inf, False))
    return Limits(low, high, low_open, high_open)
