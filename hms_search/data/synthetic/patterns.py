"""Pathological patterns: seizures that evolve and spread, periodic discharges, rhythmic delta, and mixtures of them.

What an episode shows follows its experts' opinion: the more of them would vote for a pattern, the more it stands out
from the background, and a split opinion gets both patterns at middling strength. The relation is noisy.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hms_search.data.labels import CLASSES
from hms_search.data.synthetic.background import SFREQ, slow_wander, typical_amplitude_uv
from hms_search.data.synthetic.head import field_of, mirror, on_sphere
from hms_search.data.synthetic.patients import Patient
from hms_search.data.synthetic.plan import Episode

_PERCEPTION = 25.0
"""Concentration of what is shown around what experts say: the noise between signal and label."""
_LEAST = 0.12
"""Patterns with less than this share of the opinion are not drawn."""
_FRONTAL = on_sphere(45, 90)

Drawer = Callable[["Scene", float, np.random.Generator], None]


@dataclass(frozen=True)
class Scene:
    """Where a pattern is drawn: the scalp signal (changed in place) and the stretch of it, in samples."""

    scalp: Float[np.ndarray, "19 times"]
    start: int
    stop: int
    centre: int
    """Sample in the middle of the labelled seconds."""
    patient: Patient

    @property
    def n_times(self) -> int:
        """Number of samples of the stretch."""
        return self.stop - self.start

    def add(self, field: Float[np.ndarray, " 19"], wave: Float[np.ndarray, " times"], at: int | None = None) -> None:
        """Add ``wave`` with the given spread, from sample ``at`` (the start of the stretch when left out)."""
        first = self.start if at is None else at
        part = self.scalp[:, first : first + len(wave)]
        part += field.astype(np.float32)[:, None] * wave[: part.shape[1]].astype(np.float32)


def draw_episode(
    scalp: Float[np.ndarray, "19 times"], episode: Episode, patient: Patient, first_s: float, rng: np.random.Generator
) -> None:
    """Add to ``scalp``, whose first sample is at ``first_s`` of the session, what the episode's opinion stands for."""
    start = max(int((episode.start_s - first_s) * SFREQ), 0)
    stop = min(int((episode.stop_s - first_s) * SFREQ), scalp.shape[1])
    scene = Scene(scalp, start, stop, int((episode.centre_s - first_s) * SFREQ), patient)
    shown = rng.dirichlet(_PERCEPTION * episode.opinion + 0.02)
    for index in np.argsort(-shown[:5])[:2]:
        share = float(shown[index])
        if share >= _LEAST:
            size = typical_amplitude_uv(patient) * (0.4 + 1.5 * share**1.3) * float(np.exp(rng.normal(0, 0.3)))
            _DRAWERS[CLASSES[index]](scene, size, rng)


def draw_lookalike(scalp: Float[np.ndarray, "19 times"], patient: Patient, rng: np.random.Generator) -> None:
    """Add a short weak run of some pattern that nobody voted for."""
    seconds = rng.uniform(6, 40)
    start = int(rng.uniform(0, max(scalp.shape[1] / SFREQ - seconds, 1)) * SFREQ)
    stop = min(start + int(seconds * SFREQ), scalp.shape[1])
    scene = Scene(scalp, start, stop, (start + stop) // 2, patient)
    name = str(rng.choice(["lpd", "gpd", "lrda", "grda"]))
    _DRAWERS[name](scene, typical_amplitude_uv(patient) * rng.uniform(0.3, 0.9), rng)


def _draw_lpd(scene: Scene, size_uv: float, rng: np.random.Generator) -> None:
    focus = _near(scene.patient.focus, rng)
    rate = float(np.clip(scene.patient.rate_hz * rng.uniform(0.75, 1.25), 0.5, 2.0))
    wave = _discharges(scene, rate, rng.uniform(0.04, 0.14), rng)
    scene.add(field_of(focus, rng.uniform(24, 42)), 4.0 * size_uv * wave)
    if rng.random() < 0.25:
        echo = np.roll(wave, int(rng.uniform(0.01, 0.05) * SFREQ))
        scene.add(field_of(mirror(focus), 28), 0.8 * size_uv * echo)


def _draw_gpd(scene: Scene, size_uv: float, rng: np.random.Generator) -> None:
    rate = float(np.clip(scene.patient.rate_hz * rng.uniform(0.75, 1.25), 0.5, 2.0))
    wave = _discharges(scene, rate, rng.uniform(0.02, 0.09), rng)
    lag = int(rng.uniform(0, 0.1) * SFREQ)
    scene.add(field_of(_FRONTAL, rng.uniform(48, 75)), 4.0 * size_uv * wave)
    scene.add(field_of(on_sphere(60, -90), 50), 1.6 * size_uv * np.roll(wave, lag))


def _draw_lrda(scene: Scene, size_uv: float, rng: np.random.Generator) -> None:
    focus = _near(scene.patient.focus, rng)
    scene.add(field_of(focus, rng.uniform(26, 46)), 2.4 * size_uv * _rhythmic_delta(scene, rng))


def _draw_grda(scene: Scene, size_uv: float, rng: np.random.Generator) -> None:
    wave = _rhythmic_delta(scene, rng)
    scene.add(field_of(_FRONTAL, rng.uniform(45, 75)), 2.4 * size_uv * wave)
    scene.add(field_of(on_sphere(60, -90), 45), 0.9 * size_uv * np.roll(wave, int(rng.uniform(0, 0.08) * SFREQ)))


def _draw_seizure(scene: Scene, size_uv: float, rng: np.random.Generator) -> None:
    """Frequency falls, amplitude grows, neighbours and the other side join late; then the background is flattened."""
    n_times = int(rng.uniform(25, 140) * SFREQ)
    start = int(scene.centre - n_times * rng.uniform(0.2, 0.8))
    start = int(np.clip(start, 0, max(scene.scalp.shape[1] - n_times, 0)))
    n_times = min(n_times, scene.scalp.shape[1] - start)
    progress = np.linspace(0, 1, n_times)
    last_hz = rng.uniform(1.2, 4)
    first_hz = last_hz + rng.uniform(0.3, 8)
    hz = last_hz + (first_hz - last_hz) * (1 - progress) ** rng.uniform(0.8, 2.0)
    phase = 2 * np.pi * np.cumsum(hz * slow_wander(n_times, 0.6, 0.16, rng)) / SFREQ
    sharp = rng.uniform(0.5, 2.5) * scene.patient.sharpness
    wave = np.exp(sharp * (np.cos(phase) - 1)) - 0.5 * np.exp(sharp * (np.cos(phase - 2.0) - 1))
    wave *= (0.3 + progress) * np.minimum(1, (1 - progress) * n_times / (2 * SFREQ)) * slow_wander(n_times, 1, 0.4, rng)
    wave += 0.25 * np.abs(wave) * rng.standard_normal(n_times)
    general = rng.random() < 0.3
    focus = _FRONTAL if general else _near(scene.patient.focus, rng)
    scene.add(field_of(focus, 65 if general else rng.uniform(22, 36)), 3.6 * size_uv * wave, start)
    for place, joins in ((_near(focus, rng, 0.7), rng.uniform(0.05, 0.4)), (mirror(focus), rng.uniform(0.2, 1.1))):
        joined = 1 / (1 + np.exp(-(progress - joins) * 25))
        scene.add(field_of(place, 34), 2.4 * size_uv * np.roll(wave, int(rng.integers(0, 12))) * joined, start)
    after = min(start + n_times + int(rng.uniform(5, 60) * SFREQ), scene.scalp.shape[1])
    scene.scalp[:, start + n_times : after] *= np.float32(rng.uniform(0.4, 0.9))


_DRAWERS: dict[str, Drawer] = {
    "seizure": _draw_seizure,
    "lpd": _draw_lpd,
    "gpd": _draw_gpd,
    "lrda": _draw_lrda,
    "grda": _draw_grda,
}


def _near(place: Float[np.ndarray, " 3"], rng: np.random.Generator, distance: float = 0.25) -> Float[np.ndarray, " 3"]:
    moved = place + rng.normal(0, distance, 3)
    moved[2] = max(moved[2], -0.1)
    moved /= np.linalg.norm(moved)
    same_side: Float[np.ndarray, " 3"] = mirror(moved) if moved[0] * place[0] < 0 else moved
    return same_side


def _discharges(scene: Scene, rate_hz: float, jitter: float, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """Sharp complexes, peak about 1, at nearly regular times; some are missing, size and rate wander."""
    wave = np.zeros(scene.n_times)
    kernel = _complex(scene.patient.sharpness, rng)
    intervals = rng.normal(1, jitter, int(scene.n_times / SFREQ * rate_hz * 1.6) + 4)
    wander = np.exp(np.cumsum(rng.normal(0, 0.015, len(intervals))))
    times = np.cumsum(np.maximum(intervals * wander, 0.3) / rate_hz) + rng.uniform(-1, 0)
    sizes = rng.lognormal(0, 0.22, len(times)) * (rng.random(len(times)) > 0.06)
    for start, size in zip((times * SFREQ).astype(int), sizes, strict=True):
        if 0 <= start < scene.n_times - len(kernel):
            wave[start : start + len(kernel)] += size * kernel
    wave *= slow_wander(scene.n_times, 5, 0.2, rng)
    return wave


def _complex(sharpness: float, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """One discharge: small positive, large negative, then a slow wave; 30-120 ms wide, about 0.6 s long."""
    time = np.arange(int(0.62 * SFREQ)) / SFREQ
    width = rng.uniform(0.018, 0.045) / sharpness
    sharp = -np.exp(-0.5 * ((time - 0.16) / width) ** 2)
    before = rng.uniform(0.1, 0.5) * np.exp(-0.5 * ((time - 0.16 + 2.4 * width) / (1.3 * width)) ** 2)
    after = rng.uniform(0.2, 0.65) * np.exp(-0.5 * ((time - 0.16 - 3.2 * width - 0.05) / 0.065) ** 2)
    shape: Float[np.ndarray, " times"] = (sharp + before + after) * np.hanning(len(time)) ** 0.25
    return shape


def _rhythmic_delta(scene: Scene, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """Nearly sinusoidal 1-3 Hz with a little second harmonic, in runs."""
    hz = float(np.clip(scene.patient.delta_hz * rng.uniform(0.8, 1.2), 1.0, 3.0))
    n_times = scene.n_times
    phase = 2 * np.pi * np.cumsum(hz * slow_wander(n_times, 0.5, 0.17, rng)) / SFREQ
    runs = np.clip(1.4 * slow_wander(n_times, 4, 0.5, rng) - 0.45, 0, 2)
    harmonic, shift = rng.uniform(0.05, 0.35), rng.uniform(0, 2 * np.pi)
    wave: Float[np.ndarray, " times"] = runs * (np.sin(phase) + harmonic * np.sin(2 * phase + shift))
    return wave
