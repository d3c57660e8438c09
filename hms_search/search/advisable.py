"""What the doctor may advise: a change of a study that is refused when it is made is none."""

import json
from functools import lru_cache

from pydantic import ValidationError

from hms_search.component import Component
from hms_search.errors import ConfigError
from hms_search.search.regions import End
from hms_search.search.space import Categorical, SearchSpace
from hms_search.search.study import StudyConfig


def takes(config: StudyConfig, **parts: Component) -> bool:
    """Say whether a study may have other parts, such as another ``sampler``."""
    try:
        StudyConfig.model_validate(config.model_copy(update=parts).to_dict())
    except ValidationError:
        return False
    return True


def takes_bound(space: SearchSpace, path: str, end: End, bound: float) -> bool:
    """Say whether a number of a space may have another bound: with the base inside, and all experiments valid.

    As :meth:`SearchSpace.faults` would tell, of this bound alone. Some networks take 0.1 s to check, so answers are
    kept.
    """
    return _takes_bound(json.dumps(space.to_dict()), path, end, bound)


@lru_cache(maxsize=64)
def _takes_bound(content: str, path: str, end: End, bound: float) -> bool:
    space = SearchSpace.model_validate_json(content)
    parameter = space.parameters[path]
    if isinstance(parameter, Categorical):
        return False
    try:
        moved = type(parameter).model_validate({**parameter.to_dict(), end: bound})
        for others in ({}, *_edges(space, path)):
            space.config({path: bound, **others})
    except (ConfigError, ValidationError):
        return False
    return moved.contains(space.base_value(path))


def _edges(space: SearchSpace, path: str) -> list[dict[str, object]]:
    """Return each bound and choice of the parameters but one."""
    others = {name: parameter for name, parameter in space.parameters.items() if name != path}
    return [
        {name: edge}
        for name, other in others.items()
        for edge in (other.named.values() if isinstance(other, Categorical) else (other.low, other.high))
    ]
