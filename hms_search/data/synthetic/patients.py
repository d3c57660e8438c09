"""A patient: a constant gain, spectrum, sources and habits, so that windows of one patient look alike.

That likeness, with labels that repeat within a patient, is what makes a patient leak flatter a score.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import gamma

from hms_search.data.synthetic.annotators import HIGH, LOW, Population
from hms_search.data.synthetic.head import field_of, lateral_place, on_sphere

N_SOURCES = 12
WIGGLE_HZ = np.geomspace(0.5, 30.0, 9)
"""Nodes of the patient's own bumps on the 1/f spectrum."""
_KIND_CONCENTRATION = 2.0
"""Of the Dirichlet distribution of kinds per patient: most patients show one or two kinds of segment."""


@dataclass(frozen=True)
class Patient:
    """What stays the same through all recordings of a patient; amplitudes in microvolt."""

    kinds: dict[str, Float[np.ndarray, " 6"]]
    """Share of each kind of segment, by stratum."""
    gain: float
    slope: float
    wiggle: Float[np.ndarray, " nodes"]
    mixing: Float[np.ndarray, "19 sources"]
    side_ratio: float
    alpha_hz: float
    alpha_uv: float
    alpha_width_hz: float
    theta_hz: float
    theta_uv: float
    delta_uv: float
    beta_uv: float
    spindle_hz: float
    spindle_uv: float
    suppression: float
    """Share of time in suppression, 0 for most patients."""
    blinks_per_min: float
    muscle: float
    line_uv: float
    reference_uv: float
    sensor_uv: float
    heart_hz: float
    rate_hz: float
    """Preferred rate of periodic discharges."""
    delta_hz: float
    """Preferred frequency of rhythmic delta."""
    focus: Float[np.ndarray, " 3"]
    sharpness: float
    pattern_gain: float


def draw_patient(rng: np.random.Generator) -> Patient:
    """Return a random patient."""
    luck = rng.random(6)
    awake = rng.random() < 0.4
    return Patient(
        kinds={population.stratum: _kinds_of(population, luck) for population in (HIGH, LOW)},
        gain=float(np.exp(rng.normal(0.0, 0.55))),
        slope=rng.uniform(1.3, 2.5),
        wiggle=rng.normal(0, 0.55, len(WIGGLE_HZ)),
        mixing=_draw_mixing(rng),
        side_ratio=float(np.exp(rng.normal(0, 0.25))),
        alpha_hz=rng.uniform(7.0, 11.5),
        alpha_uv=float(rng.gamma(1.2, 2.8)) if awake else float(rng.gamma(0.7, 1.2)),
        alpha_width_hz=rng.uniform(0.4, 1.8),
        theta_hz=rng.uniform(4.0, 7.5),
        theta_uv=float(rng.gamma(1, 3)),
        delta_uv=float(rng.gamma(2, 5)) if not awake else float(rng.gamma(1, 3)),
        beta_uv=float(rng.gamma(0.8, 2.5)),
        spindle_hz=rng.uniform(11.5, 14.5),
        spindle_uv=0.0 if awake else float(rng.gamma(1, 8)),
        suppression=rng.uniform(0.2, 0.6) if rng.random() < 0.08 else 0.0,
        blinks_per_min=float(rng.gamma(2, 5)) if awake else 0.0,
        muscle=float(rng.gamma(0.8, 1.0)),
        line_uv=float(rng.exponential(1.5)),
        reference_uv=float(rng.choice([2.0, 15.0, 120.0], p=[0.6, 0.3, 0.1])),
        sensor_uv=float(np.exp(rng.normal(-0.2, 0.35))),
        heart_hz=rng.uniform(0.9, 1.9),
        rate_hz=rng.uniform(0.5, 2.0),
        delta_hz=rng.uniform(1.0, 3.0),
        focus=lateral_place(rng, left=bool(rng.random() < 0.5)),
        sharpness=rng.uniform(0.6, 1.5),
        pattern_gain=float(np.exp(rng.normal(0, 0.35))),
    )


def _kinds_of(population: Population, luck: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " 6"]:
    """Dirichlet shares with the population's mean, from the same quantiles for both populations: so they correlate."""
    shares: Float[np.ndarray, " 6"] = np.asarray(gamma.ppf(luck, _KIND_CONCENTRATION * population.kinds)) + 1e-12
    shares /= shares.sum()
    return shares


def _draw_mixing(rng: np.random.Generator) -> Float[np.ndarray, "19 sources"]:
    """Broad and local sources all over the head, each electrode's summed power near 1."""
    places = [on_sphere(rng.uniform(0, 100), rng.uniform(0, 360)) for _ in range(N_SOURCES)]
    fields = np.stack([field_of(place, rng.uniform(22, 50)) for place in places], axis=1)
    fields += 0.15 * rng.standard_normal(fields.shape)
    fields *= np.exp(rng.normal(0, 0.3, N_SOURCES))
    level: float = np.sqrt((fields**2).sum(axis=1).mean())
    return fields / level
