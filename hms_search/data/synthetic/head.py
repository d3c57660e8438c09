"""The head: 19 scalp electrodes of the 10-20 system on a unit sphere, the double banana, and how a source spreads."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

SCALP = (
    "Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1", "Fz", "Cz", "Pz", "Fp2", "F4", "C4", "P4", "F8", "T4", "T6", "O2",
)  # fmt: skip
"""The order of the EEG files; EKG follows as the twentieth channel."""
EEG_COLUMNS = (*SCALP, "EKG")

REGIONS = ("LL", "RL", "LP", "RP")
"""The order of the spectrogram files: left and right lateral, left and right parasagittal."""
_CHAINS = (
    ("Fp1", "F7", "T3", "T5", "O1"),
    ("Fp2", "F8", "T4", "T6", "O2"),
    ("Fp1", "F3", "C3", "P3", "O1"),
    ("Fp2", "F4", "C4", "P4", "O2"),
)
DERIVATIONS: Int[np.ndarray, "4 4 2"] = np.array(
    [[(SCALP.index(a), SCALP.index(b)) for a, b in pairwise(chain)] for chain in _CHAINS]
)
"""Region x derivation x (plus, minus): electrode indices of the bipolar chains."""

_ANGLES = (
    (-92, -72), (-60, -51), (-46, 0), (-60, 51), (-92, -36), (-92, 0), (-92, 36), (-92, 72), (46, 90), (0, 0),
    (46, -90), (92, 72), (60, 51), (46, 0), (60, -51), (92, 36), (92, 0), (92, -36), (92, -72),
)  # fmt: skip
"""Inclination from the vertex and azimuth in degrees, the usual spherical coordinates of the 10-20 system."""


def on_sphere(inclination_deg: float, azimuth_deg: float) -> Float[np.ndarray, " 3"]:
    """Return the unit vector (right, front, up) of a place on the head."""
    tilt, turn = np.deg2rad(inclination_deg), np.deg2rad(azimuth_deg)
    return np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])


POSITIONS: Float[np.ndarray, "19 3"] = np.array([on_sphere(*angles) for angles in _ANGLES])


def field_of(place: Float[np.ndarray, " 3"], width_deg: float) -> Float[np.ndarray, " 19"]:
    """Return what a unit source at ``place`` adds to each electrode: a Gaussian of the angle, 1 at the source."""
    angle = np.arccos(np.clip(POSITIONS @ (place / np.linalg.norm(place)), -1, 1))
    spread: Float[np.ndarray, " 19"] = np.exp(-0.5 * (angle / np.deg2rad(width_deg)) ** 2)
    return spread


def mirror(place: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Return the homologous place in the other hemisphere."""
    return np.array([-place[0], place[1], place[2]])


def lateral_place(rng: np.random.Generator, *, left: bool) -> Float[np.ndarray, " 3"]:
    """Return a random focus over one hemisphere, away from the midline."""
    place = on_sphere(rng.uniform(45, 92), rng.uniform(-60, 60))
    return mirror(place) if left else place
