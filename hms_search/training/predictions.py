"""What a training configuration takes from other models' predictions, for one fold."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hms_search.data.samples import Samples
from hms_search.data.teachers import Pupils, predicted_targets
from hms_search.training.config import TrainingConfig
from hms_search.training.soft import NoisyStudent, PseudoLabels

Predicted = Float[np.ndarray, "samples classes"] | None


@dataclass(frozen=True)
class Predictions:
    """What a model predicted for the samples of a Store; NaN where a fold does not use it."""

    noisy_student: Predicted = None
    pseudo_labels: Predicted = None

    @property
    def absent(self) -> tuple[bool, bool]:
        """Whether each of the two is missing."""
        return self.noisy_student is None, self.pseudo_labels is None

    @property
    def digest(self) -> str:
        """The SHA-256 of their content; empty where there are none."""
        parts = [b"" if part is None else part.tobytes() for part in (self.noisy_student, self.pseudo_labels)]
        return hashlib.sha256(b"|".join(parts)).hexdigest() if any(parts) else ""


VOTES_ALONE = Predictions()


def predictions_of(
    config: TrainingConfig,
    store: Samples,
    *,
    training: Int[np.ndarray, " train"],
    validation: Int[np.ndarray, " validation"],
    fold: int,
) -> Predictions:
    """Return the predictions that a fold is trained towards; none where the configuration uses votes alone.

    Raises DataError where a row that needs one has none, or it would leak; see :mod:`hms_search.data.teachers`.
    """

    def read(soft: NoisyStudent | PseudoLabels | None, rows: Int[np.ndarray, " rows"]) -> Predicted:
        if soft is None:
            return None
        pupils = Pupils(store.sample_ids, store.patients, rows, validation, fold)
        return predicted_targets(soft.oof, pupils, optimistic=soft.optimistic)

    low = training[~store.high[training]]
    return Predictions(
        noisy_student=read(config.noisy_student, training), pseudo_labels=read(config.pseudo_labels, low)
    )
