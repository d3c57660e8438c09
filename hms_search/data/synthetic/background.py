"""The background: 1/f activity of many sources, alpha, theta, delta and beta rhythms, spindles, line and reference.

Every source is Gaussian noise shaped in the frequency domain, times a slow envelope, spread over the 19 electrodes by
one matrix product.
"""

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len

from hms_search.data.synthetic.head import field_of, on_sphere
from hms_search.data.synthetic.patients import WIGGLE_HZ, Patient

SFREQ = 200
_HIGHEST_HZ = 50.0
"""Shaped sources end here; above there is only sensor noise, muscle and line."""
_BROADBAND_UV = 14.0
_TYPICAL_AMPLITUDE_UV = 18.0
"""Root mean square of a gain-1 background, the yardstick of pattern amplitudes."""


def typical_amplitude_uv(patient: Patient) -> float:
    """Return about the root mean square of the patient's background: patterns are measured against it."""
    return _TYPICAL_AMPLITUDE_UV * float(patient.gain**0.8) * patient.pattern_gain


def make_background(patient: Patient, n_times: int, rng: np.random.Generator) -> Float[np.ndarray, "19 times"]:
    """Return ``n_times`` samples of background at 200 Hz in microvolt, float32."""
    slow = np.stack(
        [slow_wander(n_times, every_s, size, rng) for every_s, size in ((8.0, 0.3), (3.0, 0.8), (6.0, 0.7))]
    )
    broad = _shaped_noise(_broadband_amplitudes(patient, n_times), n_times, rng)
    broad *= slow[0] * np.float32(patient.gain * _BROADBAND_UV)
    if patient.suppression > 0:
        broad *= _suppression(patient.suppression, n_times, rng)
    rhythms, rhythm_fields = _rhythms(patient, n_times, slow[1:], rng)
    shared, shared_fields = _line_and_reference(patient, n_times, rng)
    fields = np.concatenate([_sided(patient) * patient.mixing, rhythm_fields, shared_fields], axis=1)
    scalp = rng.standard_normal((19, n_times), dtype=np.float32)
    scalp *= np.float32(patient.sensor_uv)
    _spread(fields.astype(np.float32), np.concatenate([broad, rhythms, shared]), scalp)
    return scalp


def slow_wander(n_times: int, every_s: float, size: float, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """Return a factor that wanders around 1 in steps of ``every_s``, log-normal with deviation ``size``, float32."""
    nodes = max(int(n_times / (SFREQ * every_s)) + 3, 5)
    steps = rng.normal(0, size, nodes)
    level = np.exp(0.5 * steps + 0.5 * np.convolve(steps, np.ones(5) / np.sqrt(5), mode="same"))
    return np.interp(np.arange(n_times) / (SFREQ * every_s), np.arange(nodes), level).astype(np.float32)


def _spread(
    fields: Float[np.ndarray, "19 sources"],
    sources: Float[np.ndarray, "sources times"],
    scalp: Float[np.ndarray, "19 times"],
) -> None:
    """Add ``fields @ sources`` to ``scalp`` in blocks too small for BLAS to split over threads.

    So the result cannot depend on the number of threads, and parallel writers do not compete for cores.
    """
    for start in range(0, scalp.shape[1], 512):
        scalp[:, start : start + 512] += fields @ sources[:, start : start + 512]


def _frequencies(n_times: int) -> tuple[Float[np.ndarray, " bins"], int]:
    """Frequencies below the highest shaped one, and the transform length they belong to."""
    n_fft = next_fast_len(n_times, real=True)
    step = SFREQ / n_fft
    return np.arange(int(_HIGHEST_HZ / step)) * step, n_fft


def _broadband_amplitudes(patient: Patient, n_times: int) -> Float[np.ndarray, "sources bins"]:
    """1/f with a knee at 0.4 Hz and the patient's bumps."""
    hz, _ = _frequencies(n_times)
    bumps = np.interp(np.log(np.maximum(hz, 0.1)), np.log(WIGGLE_HZ), patient.wiggle)
    power = np.exp(bumps) / (0.4 + hz) ** patient.slope * (hz > 0.1)
    return np.broadcast_to(np.sqrt(power), (patient.mixing.shape[1], len(hz)))


def _bump(hz: Float[np.ndarray, " bins"], centre_hz: float, width_hz: float) -> Float[np.ndarray, " bins"]:
    shape: Float[np.ndarray, " bins"] = np.exp(-0.5 * ((hz - centre_hz) / width_hz) ** 2)
    return shape


def _shaped_noise(
    amplitudes: Float[np.ndarray, "sources bins"], n_times: int, rng: np.random.Generator
) -> Float[np.ndarray, "sources times"]:
    """Gaussian noise of root mean square 1 with the given amplitude spectra, float32."""
    _, n_fft = _frequencies(n_times)
    level = np.sqrt(2.0 * np.sum(amplitudes.astype(float) ** 2, axis=1, keepdims=True) * 2.0) / n_fft
    scale = (amplitudes / level).astype(np.float32)
    draws = rng.standard_normal((*amplitudes.shape, 2), dtype=np.float32)
    draws *= scale[..., None]
    noise: Float[np.ndarray, "sources times"] = irfft(draws.view(np.complex64)[..., 0], n_fft, axis=1)
    return noise[:, :n_times]


def _sided(patient: Patient) -> Float[np.ndarray, "19 1"]:
    """Return a gain per electrode that favours one hemisphere."""
    left = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1])
    gain: Float[np.ndarray, "19 1"] = patient.side_ratio ** (0.5 * left[:, None])
    return gain


def _rhythms(
    patient: Patient, n_times: int, slow: Float[np.ndarray, "2 times"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "sources times"], Float[np.ndarray, "19 sources"]]:
    """Alpha (both occipital sides), theta, two deltas, beta and spindles, waxing and waning, and their fields."""
    hz, _ = _frequencies(n_times)
    rows = (
        (_bump(hz, patient.alpha_hz, patient.alpha_width_hz), patient.alpha_uv, slow[0], on_sphere(92, -108), 34),
        (
            _bump(hz, patient.alpha_hz, patient.alpha_width_hz),
            patient.alpha_uv * patient.side_ratio,
            slow[0],
            on_sphere(92, -72),
            34,
        ),
        (_bump(hz, patient.theta_hz, 1.1), patient.theta_uv, slow[1], on_sphere(50, 70), 45),
        (_bump(hz, 1.6, 0.7), patient.delta_uv, slow[1], on_sphere(60, 60), 50),
        (_bump(hz, 1.2, 0.6), patient.delta_uv, slow[1][::-1], on_sphere(80, 170), 50),
        (_bump(hz, 19.0, 4.0), patient.beta_uv, slow[1][::-1], on_sphere(40, 90), 50),
        (_bump(hz, patient.spindle_hz, 0.5), patient.spindle_uv, _bursts(n_times, rng), on_sphere(20, 90), 40),
    )
    noise = _shaped_noise(np.stack([row[0] for row in rows]), n_times, rng)
    for source, row in zip(noise, rows, strict=True):
        source *= row[2] * np.float32(row[1] * patient.gain)
    return noise, np.stack([field_of(row[3], row[4]) for row in rows], axis=1)


def _bursts(n_times: int, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """Draw an envelope of one-second bursts, some eight a minute."""
    envelope = np.zeros(n_times, dtype=np.float32)
    shape = np.hanning(int(1.2 * SFREQ)).astype(np.float32)
    for start in rng.integers(0, n_times - len(shape), rng.poisson(8 * n_times / (60 * SFREQ))):
        envelope[start : start + len(shape)] += shape
    return envelope


def _suppression(share: float, n_times: int, rng: np.random.Generator) -> Float[np.ndarray, " times"]:
    """Burst suppression: a factor between 0.08 and 1 that switches every few seconds."""
    n_steps = n_times // SFREQ + 2
    states, state = np.empty(n_steps), 1.0
    for step in range(n_steps):
        if rng.random() < 0.35:
            state = 0.08 if rng.random() < share else 1.0
        states[step] = state
    return np.interp(np.arange(n_times) / SFREQ, np.arange(n_steps), states).astype(np.float32)


def _line_and_reference(
    patient: Patient, n_times: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "2 times"], Float[np.ndarray, "19 2"]]:
    """Line noise, different at every electrode, and what the reference puts on all of them alike."""
    time = np.arange(n_times, dtype=np.float32) / SFREQ
    line = np.sin(np.float32(2 * np.pi * 60) * time)
    hz, _ = _frequencies(n_times)
    reference = _shaped_noise((1 / (0.3 + hz) * (hz > 0.1))[None], n_times, rng)
    line_field = patient.line_uv * rng.gamma(0.7, 1.4, 19)
    reference_field = patient.reference_uv * (1 + 0.01 * rng.standard_normal(19))
    return np.concatenate([line[None], reference]), np.stack([line_field, reference_field], axis=1)
