"""Samples on another machine: opened there where it sees the same files, else sent there as arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hms_search.data.hms import Kind
from hms_search.data.sampling import Sampling
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.errors import DataError


@dataclass(frozen=True)
class StorePlace:
    """Where a Store lies and what it holds."""

    path: Path
    sampling: Sampling
    kinds: tuple[Kind, ...]
    having: tuple[Kind, ...]
    baked: EegPipeline | None
    fingerprint: str

    @classmethod
    def of(cls, store: Store) -> "StorePlace":
        """Return the place of a Store."""
        path = store.path.absolute()
        return cls(path, store.sampling, store.kinds, store.having, store.baked, store.fingerprint)

    def open(self) -> Store | None:
        """Return the very same Store; None on a machine that sees none there, or another one."""
        try:
            store = Store.open(self.path, self.sampling, kinds=self.kinds, having=self.having, baked=self.baked)
        except (DataError, OSError):
            return None
        return store if store.fingerprint == self.fingerprint else None


@dataclass(frozen=True)
class CarriedSamples:
    """Samples as arrays, to be pickled; those of a Store are read from its files only as that is done."""

    content: SeizureTypes | dict[str, Any]

    @classmethod
    def of(cls, samples: Store | SeizureTypes) -> "CarriedSamples":
        """Return samples that need no files."""
        return cls(samples if isinstance(samples, SeizureTypes) else samples.contents())

    def open(self) -> Store | SeizureTypes:
        """Return the samples."""
        return Store(**self.content) if isinstance(self.content, dict) else self.content
