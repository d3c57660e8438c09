"""Why a round's bounds are where they are, as its study keeps it."""

from dataclasses import dataclass
from typing import Any, Literal

import optuna

Kind = Literal["narrowed", "widened", "dropped", "frozen", "kept"]
FIRST_KEY = "hms_search:first_round"
"""The study attribute with the name of the first round's study, which has the baseline."""
LINEAGE_KEY = "hms_search:lineage"


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


def lineage_of(study: optuna.Study) -> tuple[Change, ...]:
    """Return why a round's bounds are where they are; nothing for a first round."""
    stored: list[dict[str, Any]] = study.user_attrs.get(LINEAGE_KEY, [])
    return tuple(Change(**change) for change in stored)
