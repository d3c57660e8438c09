"""Why a round's bounds are where they are, as its study keeps it, and as the rows of a table for whoever shows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna

Kind = Literal["narrowed", "widened", "dropped", "frozen", "kept"]
FIRST_KEY = "hms_search:first_round"
"""The study attribute with the name of the first round's study, which has the baseline."""
LINEAGE_KEY = "hms_search:lineage"
COLUMNS = ("parameter", "change", "before", "after", "why")
FOLLOWS = "the space follows from the round before"
"""What a table of changes is about."""


@dataclass(frozen=True)
class Change:
    """What became of one parameter, in words and numbers that fit into JSON; where it was kept, the reason why."""

    path: str
    kind: Kind
    before: str
    after: str
    reason: str
    trials: int
    quantile: float | None = None
    p_value: float | None = None


Lineages = Mapping[str, tuple[Change, ...]]
"""Why bounds are where they are, by the name of each round's study, in their order; nothing for the first round."""


def lineages_of(study: optuna.Study) -> Lineages:
    """Return the lineage of all rounds of the search that a study is of; a search without rounds is one round."""
    attributes = _attributes(study._storage)
    names = _rounds(study.user_attrs.get(FIRST_KEY, study.study_name), attributes)
    return {name: changes_of(attributes.get(name, {})) for name in names}


def rounds_of(first: str, storage: optuna.storages.BaseStorage) -> list[str]:
    """Return the names of the studies of a search's rounds, in their order; ``first`` is the first one's."""
    return _rounds(first, _attributes(storage))


def frozen_by(lineages: Lineages, study: str) -> Mapping[str, str]:
    """Return at what the parameters of a round's trials stand that were frozen before it; nothing of other studies."""
    rounds = list(lineages)
    until = rounds.index(study) + 1 if study in lineages else 0
    changes = [change for name in rounds[:until] for change in lineages[name]]
    return {change.path: _short(change.after) for change in changes if change.kind == "frozen"}


def lineage_rows(changes: Iterable[Change]) -> list[tuple[str, ...]]:
    """Return a row per parameter under :data:`COLUMNS`: what became of it and why."""
    return [(change.path, change.kind, change.before, _short(change.after), change.reason) for change in changes]


def changes_of(attributes: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return why a round's bounds are where they are, as its study's attributes have it; nothing of a first one."""
    return tuple(Change(**change) for change in attributes.get(LINEAGE_KEY, []))


def _attributes(storage: optuna.storages.BaseStorage) -> Mapping[str, Mapping[str, Any]]:
    return {one.study_name: one.user_attrs for one in storage.get_all_studies()}


def _rounds(first: str, attributes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    later = [name for name, kept in attributes.items() if kept.get(FIRST_KEY) == first]
    return [first, *sorted(later, key=lambda name: (len(name), name))]  # round 10 after round 9


def _short(after: str) -> str:
    """Return what a parameter is afterwards; a fraction that it is frozen at to four digits."""
    try:
        return after if after.lstrip("-").isdigit() else f"{float(after):.4g}"
    except ValueError:
        return after
