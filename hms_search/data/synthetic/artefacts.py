"""Artefacts: blinks, muscle, movement, chewing, electrode pops, flat electrodes, gaps - and the EKG channel."""

import numpy as np
from jaxtyping import Float

from hms_search.data.synthetic.background import SFREQ
from hms_search.data.synthetic.head import SCALP, field_of, on_sphere
from hms_search.data.synthetic.patients import Patient
from hms_search.data.synthetic.plan import Gap

_EYES = 0.5 * (field_of(on_sphere(105, 70), 26) + field_of(on_sphere(105, 110), 26))
_MUSCLE_SITES = tuple(SCALP.index(name) for name in ("F7", "T3", "F8", "T4", "Fp1", "Fp2", "T5", "T6", "O1", "O2"))


def add_artefacts(scalp: Float[np.ndarray, "19 times"], patient: Patient, rng: np.random.Generator) -> None:
    """Add in place what a patient's eyes, muscles, movements and electrodes do in one session."""
    minutes = scalp.shape[1] / (60 * SFREQ)
    for start in _starts(patient.blinks_per_min * minutes, scalp, 1.0, rng):
        _add_blink(scalp, start, rng)
    for start in _starts(0.8 * patient.muscle * minutes, scalp, 20.0, rng):
        _add_muscle(scalp, start, rng)
    for start in _starts(0.05 * minutes, scalp, 12.0, rng):
        _add_movement(scalp, start, rng)
    for start in _starts(0.03 * minutes, scalp, 25.0, rng):
        _add_chewing(scalp, start, rng)
    for _ in range(rng.poisson(0.35)):
        _add_pops(scalp, int(rng.integers(19)), minutes, rng)
    if rng.random() < 0.06:
        start = int(rng.integers(0, scalp.shape[1] - SFREQ))
        stop = start + int(rng.uniform(2, 90) * SFREQ)
        scalp[int(rng.integers(19)), start:stop] = np.float32(rng.normal(0, 20))


def cut_gaps(scalp: Float[np.ndarray, "19 times"], gaps: tuple[Gap, ...], first_s: float) -> None:
    """Set what is missing to NaN in place; the first sample is at ``first_s`` of the session."""
    for gap in gaps:
        start, stop = (max(int((edge - first_s) * SFREQ), 0) for edge in (gap.start_s, gap.stop_s))
        scalp[list(gap.electrodes), start:stop] = np.nan


def make_ekg(patient: Patient, n_times: int, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """Return an EKG in microvolt: P, QRS and T at the patient's heart rate; now and then only noise or a dead lead."""
    if rng.random() < 0.12:
        return (rng.exponential(3) * rng.standard_normal(n_times)).astype(np.float32)
    beats = np.cumsum(rng.normal(1, 0.04, int(n_times / SFREQ * patient.heart_hz * 1.2) + 4)) / patient.heart_hz
    ekg = 0.03 * rng.standard_normal(n_times)
    time = np.arange(int(0.7 * SFREQ)) / SFREQ
    parts = ((0.12, 0.1, 0.025), (-0.15, 0.2, 0.008), (1.0, 0.225, 0.011), (-0.25, 0.25, 0.01), (0.28, 0.48, 0.05))
    beat: Float[np.ndarray, " times"] = np.sum(
        [size * np.exp(-0.5 * ((time - at) / width) ** 2) for size, at, width in parts], axis=0
    )
    for start in (beats * SFREQ).astype(int) - int(0.5 * SFREQ):
        if 0 <= start < n_times - len(time):
            ekg[start : start + len(time)] += beat
    ekg += rng.uniform(0, 0.3) * np.sin(2 * np.pi * 0.25 * np.arange(n_times) / SFREQ + rng.uniform(0, 6))
    ekg *= np.exp(rng.normal(5.8, 0.8)) * rng.choice([-1, 1])
    return ekg.astype(np.float32)


def _starts(
    expected: float, scalp: Float[np.ndarray, "19 times"], room_s: float, rng: np.random.Generator
) -> list[int]:
    last = max(scalp.shape[1] - int(room_s * SFREQ), 1)
    starts: list[int] = rng.integers(0, last, rng.poisson(expected)).tolist()
    return starts


def _add_blink(scalp: Float[np.ndarray, "19 times"], start: int, rng: np.random.Generator) -> None:
    n_times = int(rng.uniform(0.2, 0.45) * SFREQ)
    wave = rng.uniform(60, 190) * np.hanning(n_times).astype(np.float32)
    scalp[:, start : start + n_times] += (_EYES[:, None] * wave).astype(np.float32)


def _add_muscle(scalp: Float[np.ndarray, "19 times"], start: int, rng: np.random.Generator) -> None:
    """Broad 20-90 Hz noise, strongest where the muscles are."""
    n_times = int(rng.uniform(0.4, 15) * SFREQ)
    sites = rng.choice(_MUSCLE_SITES, int(rng.integers(2, 9)), replace=False)
    noise = rng.standard_normal((len(sites), n_times + 1), dtype=np.float32)
    sizes = rng.gamma(1.5, 10, (len(sites), 1)).astype(np.float32)
    envelope = np.hanning(n_times).astype(np.float32) ** 0.3
    scalp[sites, start : start + n_times] += sizes * (noise[:, 1:] - 0.7 * noise[:, :-1]) * envelope


def _add_movement(scalp: Float[np.ndarray, "19 times"], start: int, rng: np.random.Generator) -> None:
    """Let all electrodes wander slowly and far, each a little differently."""
    n_times = int(rng.uniform(1.5, 12) * SFREQ)
    steps = rng.standard_normal((19, n_times // 20 + 2)) + 2 * rng.standard_normal(n_times // 20 + 2)
    nodes = np.cumsum(steps, axis=1)
    at = np.arange(n_times) / 20
    shape = np.hanning(n_times) * rng.lognormal(2.6, 0.8)
    for electrode in range(19):
        wave = np.interp(at, np.arange(nodes.shape[1]), nodes[electrode]) * shape
        scalp[electrode, start : start + n_times] += wave.astype(np.float32)


def _add_chewing(scalp: Float[np.ndarray, "19 times"], start: int, rng: np.random.Generator) -> None:
    """Rhythmic bursts of muscle with slow waves, 1-2 Hz: a look-alike of periodic discharges and of seizures."""
    n_times = int(rng.uniform(5, 25) * SFREQ)
    gate = np.sin(np.pi * rng.uniform(1, 2) * np.arange(n_times) / SFREQ) ** 8
    noise = rng.standard_normal((19, n_times)) * rng.gamma(2, 8)
    slow = rng.gamma(2, 12) * gate
    field = field_of(on_sphere(92, 0), 40) + field_of(on_sphere(92, 180), 40)
    scalp[:, start : start + n_times] += (field[:, None] * (noise * gate + slow)).astype(np.float32)


def _add_pops(scalp: Float[np.ndarray, "19 times"], electrode: int, minutes: float, rng: np.random.Generator) -> None:
    """Sudden steps of one electrode that decay within half a second."""
    for start in _starts(rng.exponential(3.0) * minutes, scalp, 3.0, rng):
        decay = np.exp(-np.arange(2 * SFREQ) / (rng.uniform(0.05, 0.5) * SFREQ))
        wave = rng.choice([-1, 1]) * rng.lognormal(5.0, 0.8) * decay
        scalp[electrode, start : start + len(wave)] += wave.astype(np.float32)
