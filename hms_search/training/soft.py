"""Targets that a model predicted, in place of votes or mixed with them; where they come from, see the data layer.

Which predictions may be used is decided, with its reasons, in :mod:`hms_search.data.teachers`.
"""

from pathlib import Path

from pydantic import Field

from hms_search.component import Component


class NoisyStudent(Component):
    """In each epoch, a row's target is with ``probability`` the out-of-fold prediction of it (15th place: 0.15).

    Attributes
    ----------
    oof
        A folder of teachers, or one file of out-of-fold predictions.
    optimistic
        Take predictions of networks that may have seen the validated patients, too, a promoted model's ``oof.parquet``
        for example; the results are then marked as optimistic.
    """

    oof: Path
    probability: float = Field(0.15, gt=0, le=1)
    optimistic: bool = False


class PseudoLabels(Component):
    """Rows of the LOW stratum have the target (1 - ``weight``) votes + ``weight`` prediction.

    8th place: 0.9. With 1 the prediction alone is the target (4th place).

    Attributes
    ----------
    oof, optimistic
        As in :class:`NoisyStudent`.
    """

    oof: Path
    weight: float = Field(0.9, gt=0, le=1)
    optimistic: bool = False
