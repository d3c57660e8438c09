"""Curriculum: which rows each epoch of a fold's training goes through, towards which targets, with which weights.

An epoch takes the stage's rows, one of each group (see ``one_per_eeg`` in :mod:`hms_search.data.sampling`), in a new
order or balanced by class; then the targets: votes, pseudo labels in their place, a noisy student's, smoothed.
"""

import numpy as np
import torch
from jaxtyping import Float, Int

from hms_search.data.batches import Portion
from hms_search.data.samples import Samples
from hms_search.errors import DataError
from hms_search.training.config import TrainingConfig
from hms_search.training.draws import balanced, one_of_each
from hms_search.training.predictions import VOTES_ALONE, Predictions
from hms_search.training.results import Slot
from hms_search.training.stages import Span


class Curriculum:
    """A :class:`hms_search.data.batches.Draw` of training rows.

    All chance comes from one generator, seeded by the slot; with its state, the next epoch follows from its number.
    Nothing but the training ``rows`` of the Store is read. Raises DataError where a stage has no rows.
    """

    def __init__(
        self,
        config: TrainingConfig,
        store: Samples,
        rows: Int[np.ndarray, " rows"],
        *,
        slot: Slot,
        predictions: Predictions = VOTES_ALONE,
    ) -> None:
        self.rows = rows
        self.generator = torch.Generator().manual_seed(slot.seed)
        self.predictions = predictions
        self._config, self._store = config, store
        if (config.noisy_student is None, config.pseudo_labels is None) != predictions.absent:
            raise ValueError("expected predictions for exactly what the configuration takes from a model")
        self._targets = self._fixed_targets()
        self._spans: list[tuple[Span, np.ndarray]] = []
        for number, span in enumerate(config.spans):
            chosen = rows[span.stage.contains(store.votes[rows].sum(axis=1), store.high[rows])]
            if len(chosen) == 0:
                raise DataError(_no_rows(span, number, slot.fold, len(rows)))
            self._spans.append((span, chosen))

    def portion(self, epoch: int) -> Portion:
        """Return what an epoch goes through; call it for every epoch in turn."""
        span, rows = next(place for place in reversed(self._spans) if place[0].first <= epoch)
        rows = rows[one_of_each(self._store.groups[rows], self.generator)]
        rows = rows[self._order(rows)]
        weights = (span.stage.weights or self._config.weights).of(
            self._store.votes[rows].sum(axis=1), self._store.high[rows], epoch / self._config.epochs
        )
        return Portion(rows, smoothed(self._epoch_targets(rows), self._config.label_smoothing), weights)

    def _order(self, rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
        if self._config.sampler == "balanced":
            return balanced(self._store.targets[rows].argmax(axis=1), self.generator)
        order: np.ndarray = torch.randperm(len(rows), generator=self.generator).numpy()
        return order

    def _epoch_targets(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows classes"]:
        targets: np.ndarray = self._targets[rows]
        student, predicted = self._config.noisy_student, self.predictions.noisy_student
        if student is not None and predicted is not None:
            replaced = (torch.rand(len(rows), generator=self.generator) < student.probability).numpy()
            targets[replaced] = predicted[rows[replaced]]
        return targets

    def _fixed_targets(self) -> Float[np.ndarray, "samples classes"]:
        targets, labels, predicted = self._store.targets, self._config.pseudo_labels, self.predictions.pseudo_labels
        if labels is None or predicted is None:
            return targets
        mixed: np.ndarray = targets.copy()
        low = self.rows[~self._store.high[self.rows]]
        mixed[low] = (1 - labels.weight) * targets[low] + labels.weight * predicted[low]
        return mixed


def smoothed(targets: Float[np.ndarray, "rows classes"], e: float) -> Float[np.ndarray, "rows classes"]:
    """Return (1 - e) p + e / classes."""
    return np.asarray((1 - e) * targets + e / targets.shape[1])


def _no_rows(span: Span, number: int, fold: int, n_rows: int) -> str:
    stage = span.stage
    return (
        f"training.stages.{number} (rows {stage.rows}, min_votes {stage.min_votes}) has none of the {n_rows} training "
        f"rows of fold {fold}; lower min_votes, choose other rows, or a sampling rule that keeps them"
    )
