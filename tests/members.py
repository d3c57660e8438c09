"""Out-of-fold predictions of made-up members, for the tests of blends."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hms_search.data.oof import OutOfFold, out_of_fold
from hms_search.ensemble.blends import softmax

SEIZURE_SHARES = (0.05, 0.17, 0.47, 0.2, 0.03, 0.03, 0.03, 0.02)
"""Of the eight types, about as in the corpus."""


def samples_of(patients: np.ndarray) -> pd.DataFrame:
    """Lines as a Store has them; every third row has few votes."""
    rows = np.arange(len(patients))
    n_votes = np.where(rows % 3 == 0, 3, 14)
    return pd.DataFrame(
        {
            "sample_id": 1000 + rows,
            "eeg_id": pd.array(1000 + rows, dtype="Int64"),
            "patient_id": patients,
            "n_votes": n_votes,
            "stratum": np.where(n_votes >= 10, "high", "low"),
            "consensus": 0,
        }
    )


def member(
    name: str, probabilities: np.ndarray, targets: np.ndarray, patients: np.ndarray, *, n_folds: int = 3
) -> OutOfFold:
    """A member whose folds are its patients' numbers modulo ``n_folds``."""
    return out_of_fold(name, samples_of(patients), patients % n_folds, targets, probabilities)


def noisy_members(
    noises: Sequence[float] = (0.5, 1.0, 1.5), *, n_patients: int = 60, rows_each: int = 3, seed: int = 0
) -> list[OutOfFold]:
    """Members that see the truth through noise, the first ones through less; named a, b, c ..."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows_each)
    truth = rng.normal(0, 1.5, (len(patients), 6))
    votes = np.stack([rng.multinomial(12, p) for p in softmax(truth)])
    targets = votes / votes.sum(axis=1, keepdims=True)
    seen = [softmax(truth + rng.normal(0, noise, truth.shape)) for noise in noises]
    return [member(chr(97 + i), q, targets, patients) for i, q in enumerate(seen)]


def seizure_members(
    skills: Sequence[float], *, n_patients: int = 60, seed: int = 0, n_folds: int = 3
) -> list[OutOfFold]:
    """Members that know a seizure's type as often as their skill says, some patients' better than others'; a, b ...

    A patient has from 1 to 40 seizures, mostly of one type.
    """
    rng = np.random.default_rng(seed)
    rows = np.minimum(np.ceil(rng.lognormal(1, 1, n_patients)).astype(int), 40)
    patients = np.repeat(np.arange(n_patients), rows)
    usual = np.repeat(rng.choice(8, n_patients, p=SEIZURE_SHARES), rows)
    truth = np.where(rng.random(len(patients)) < 0.8, usual, rng.choice(8, len(patients), p=SEIZURE_SHARES))
    samples = pd.DataFrame(
        {
            "sample_id": np.arange(len(patients)),
            "file": [f"{row:04}.npy" for row in range(len(patients))],
            "patient": [f"p{patient}" for patient in patients],
            "patient_id": patients,
        }
    )
    found = []
    for place, skill in enumerate(skills):
        knows = np.clip(skill + np.repeat(rng.normal(0, 0.2, n_patients), rows), 0, 1)
        guess = np.where(rng.random(len(patients)) < knows, truth, rng.choice(8, len(patients), p=SEIZURE_SHARES))
        probabilities = 0.6 * np.eye(8)[guess] + 0.4 * rng.dirichlet(np.ones(8), len(patients))
        name = chr(97 + place)
        found.append(out_of_fold(name, samples, patients % n_folds, np.eye(8)[truth], probabilities, "seizure_types"))
    return found


def distributions(rows: int, *, seed: int, members: int | None = None) -> np.ndarray:
    """Random distributions ``[rows, 6]``, or ``[members, rows, 6]``."""
    shape = (rows,) if members is None else (members, rows)
    return np.random.default_rng(seed).dirichlet(np.full(6, 0.5), shape)
