"""Parameter groups: which of a network's parameters learn at another rate, or without weight decay."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from torch import nn

from hms_search.component import Component
from hms_search.errors import ConfigError


class LrGroup(Component):
    """Parameters whose learning rate is ``factor`` times the schedule's, throughout.

    They are those whose names begin with ``prefix``; where several prefixes fit, the longest counts.
    """

    prefix: str = Field(min_length=1)
    factor: float = Field(gt=0)


def parameter_groups(
    model: nn.Module, lr_groups: Sequence[LrGroup], weight_decay_on: Literal["all", "weights"]
) -> list[dict[str, Any]]:
    """Return the groups of an optimiser; ``lr_scale`` is what a schedule multiplies a group's rate by.

    With ``weights``, biases and the scales of normalisation layers, all that has one dimension or none, are left out
    of the weight decay, as timm does. Raises ConfigError where no parameter is left for a prefix.
    """
    check_prefixes([name for name, _ in model.named_parameters()], lr_groups)
    members: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = weight_decay_on == "all" or (parameter.ndim > 1 and not name.endswith(".bias"))
        members.setdefault((_group_of(name, lr_groups), decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr_scale": 1.0 if number < 0 else lr_groups[number].factor,
            **({} if decays else {"weight_decay": 0.0}),
        }
        for (number, decays), parameters in members.items()
    ]


def check_prefixes(names: Sequence[str], lr_groups: Sequence[LrGroup]) -> None:
    """Raise ConfigError where no parameter, of all their names, is left for a prefix."""
    found = {_group_of(name, lr_groups) for name in names}
    for number, group in enumerate(lr_groups):
        if number not in found:
            depth = 1 + group.prefix.rstrip(".").count(".")
            beginnings = dict.fromkeys(".".join(name.split(".")[:depth]) for name in names)
            raise ConfigError(
                f"training.lr_groups.{number}: no parameter's name begins with {group.prefix!r}, or all of them with a "
                f"longer prefix; names begin with {', '.join(beginnings)}"
            )


def _group_of(name: str, lr_groups: Sequence[LrGroup]) -> int:
    """Return the number of the group with the longest prefix that fits, -1 where none does."""
    fitting = [number for number, group in enumerate(lr_groups) if name.startswith(group.prefix)]
    return max(fitting, key=lambda number: len(lr_groups[number].prefix), default=-1)
