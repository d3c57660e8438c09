"""How folds are cut and in which order they run, in words that settings and scores share."""

from typing import Literal

Order = Literal["sequential", "interleaved"]
"""One fold after the other; or the first epoch of every fold, then the second of every fold, and so on."""

Level = Literal["file", "patient"]
"""What stays on one side of a fold: files, or all that is of a patient."""
