"""Prepared recordings that are synthetic, for tests that read or train on a few."""

from pathlib import Path

from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling, Sampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic


def synthetic_store(folder: Path, *, n_patients: int, seed: int, sampling: Sampling | None = None) -> Store:
    """Return the recordings of so many patients, made and prepared under a folder."""
    write_synthetic(folder / "data", n_patients=n_patients, seed=seed, workers=1)
    prepare(folder / "data", folder / "store", workers=1)
    return Store.open(folder / "store", sampling or EegMiddleSampling())
