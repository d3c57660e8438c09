"""From a planned session to its arrays: one signal, the EEG files cut from it and the spectrogram computed from it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hms_search.data.synthetic.artefacts import add_artefacts, cut_gaps, make_ekg
from hms_search.data.synthetic.background import SFREQ, make_background
from hms_search.data.synthetic.patients import Patient
from hms_search.data.synthetic.patterns import draw_episode, draw_lookalike
from hms_search.data.synthetic.plan import Session
from hms_search.data.synthetic.spectrogram import MARGIN_S, multitaper

_LOOKALIKES_PER_SESSION = 0.7


@dataclass(frozen=True)
class RenderedSession:
    """The arrays of one session, float32, microvolt and microvolt^2 / Hz."""

    eegs: tuple[Float[np.ndarray, "20 _"], ...]
    """One per recording of the session, channels in file order."""
    spectrogram: Float[np.ndarray, "frames 400"]


def render(session: Session, patient: Patient, rng: np.random.Generator) -> RenderedSession:
    """Return the EEG and the spectrogram of a session, both from the same signal."""
    first_s = -float(MARGIN_S)
    n_times = (session.length_s + 2 * MARGIN_S) * SFREQ
    scalp = make_background(patient, n_times, rng)
    for _ in range(rng.poisson(_LOOKALIKES_PER_SESSION)):
        draw_lookalike(scalp, patient, rng)
    for episode in session.episodes:
        draw_episode(scalp, episode, patient, first_s, rng)
    add_artefacts(scalp, patient, rng)
    cut_gaps(scalp, session.gaps, first_s)
    ekg = make_ekg(patient, n_times, rng)
    eegs = []
    for recording in session.recordings:
        start = (recording.start_s + MARGIN_S) * SFREQ
        cut = slice(start, start + recording.length_s * SFREQ)
        eegs.append(np.concatenate([scalp[:, cut], ekg[None, cut]]))
    return RenderedSession(tuple(eegs), multitaper(scalp))
