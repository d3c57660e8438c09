"""What training reports: an epoch, a fold; and what a fold's training is of."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from hms_search.training.metrics import Stratum
from hms_search.training.tasks import HMS, Task


@dataclass(frozen=True)
class Slot:
    """Which fold of an experiment is trained, under which seed, scored on what, how."""

    fold: int
    seed: int = 0
    objective: Stratum = "all"
    task: Task = HMS


@dataclass(frozen=True)
class Epoch:
    """One validated epoch, counted from 0.

    ``value`` is what the task measures: the validation KL on the objective's stratum, or the weighted F1.
    ``train_loss`` is what was minimised, the mean weighted KL against the targets of training
    (:func:`hms_search.training.passes.train_epoch`), ``lr`` the rate of the epoch's last batch. ``losses`` are the KLs
    of the fold's validation rows, in their order; they are not kept in checkpoints. ``position`` is the place of the
    fold among the folds in use, ``step`` that of the epoch among those of all folds
    (:mod:`hms_search.training.steps`); in a fold's own record they are those of the fold alone.
    """

    fold: int
    epoch: int
    epochs: int
    value: float
    train_loss: float
    metrics: dict[str, float]
    seconds: float
    lr: float
    losses: Float[np.ndarray, " rows"] | None = field(default=None, compare=False, repr=False)
    position: int = 0
    step: int = 0


@dataclass(frozen=True)
class FoldResult:
    """A trained fold: value, metrics and class probabilities of its validation rows at the selected epoch.

    ``optimistic`` says that these rows may have had a part in what they score: in the choice of the epoch, or in the
    training of what predicted soft targets.
    """

    fold: int
    value: float
    epochs: tuple[Epoch, ...]
    selected_epoch: int
    optimistic: bool
    rows: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows classes"]
    metrics: dict[str, float]


def ignore(_: Epoch) -> None:
    """Take no notice of an epoch."""
