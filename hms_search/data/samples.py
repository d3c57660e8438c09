"""What training reads, whatever the samples are: those of a Store, or seizures."""

from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from hms_search.data.labels import TaskName
from hms_search.eeg.shapes import Kind


class Samples(Protocol):
    """What training reads of a :class:`hms_search.data.store.Store`."""

    @property
    def task(self) -> TaskName:
        """What the targets are labels of."""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the content."""

    @property
    def targets(self) -> Float[np.ndarray, "samples classes"]:
        """Vote distributions."""

    @property
    def votes(self) -> Int[np.ndarray, "samples classes"]:
        """Votes of each class."""

    @property
    def sample_ids(self) -> Int[np.ndarray, " samples"]:
        """Id of each sample."""

    @property
    def groups(self) -> Int[np.ndarray, " samples"]:
        """Number of the group of each sample; a pass of training sees one sample of each group."""

    @property
    def high(self) -> Bool[np.ndarray, " samples"]:
        """Whether a sample belongs to the HIGH stratum."""

    @property
    def patients(self) -> Int[np.ndarray, " samples"]:
        """Patient of each sample."""

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return a sample by kind.

        ``spectrogram``: log power ``[time, 400]``. ``eeg``: microvolts ``[10000, 20]``. ``fft``: ``[samples, 20, 24]``.
        """

    def histograms(self) -> Integer[np.ndarray, "samples counts"]:
        """Histogram of each sample's log power."""
