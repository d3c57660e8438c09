"""Which recordings a study reads."""

from pydantic import Field

from hms_search.component import Component
from hms_search.data.sampling import Sampling, SpectrogramSampling

SYNTHETIC = "synthetic"


class SyntheticData(Component):
    """The seeded synthetic data set that ``root: synthetic`` stands for. Synthetic: for demonstration and tests."""

    patients: int = Field(default=48, ge=4)
    seed: int = Field(default=0, ge=0)


class DataConfig(Component):
    """Where the recordings are and which windows of them are samples.

    ``root`` is a folder in the layout of the study's task (Kaggle's, or with ``labels.csv``), or ``synthetic``;
    ``--data`` on the command line goes before it. With ``baked``, the EEG's representation is computed once and read by
    all trials (:mod:`hms_search.data.baked`).
    """

    root: str | None = None
    sampling: Sampling = SpectrogramSampling()
    synthetic: SyntheticData = SyntheticData()
    baked: bool = False
