"""The rows that a blend is fitted on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Rows:
    """Members' out-of-fold probabilities of the same samples, the samples' targets and their patients."""

    probabilities: Float[np.ndarray, "members rows classes"]
    targets: Float[np.ndarray, "rows classes"]
    patients: Int[np.ndarray, " rows"]

    def only(self, chosen: Bool[np.ndarray, " rows"]) -> "Rows":
        """Return the chosen rows."""
        return Rows(self.probabilities[:, chosen], self.targets[chosen], self.patients[chosen])
