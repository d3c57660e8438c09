"""The coefficients of a filter, by SciPy; asked for as a pipeline is fitted, which then carries them as numbers."""

from typing import Literal

import numpy as np
from scipy import signal

from hms_search.eeg.dft import SFREQ
from hms_search.eeg.filters import BandPass, BandStop, Filter, LowPass, Notch, Sections


def sections_of(wanted: Filter) -> Sections:
    """Return a filter's second-order sections, as :func:`hms_search.eeg.filters.apply_filter` takes them."""
    match wanted:
        case Notch():
            numerator, denominator = signal.iirnotch(wanted.hz, wanted.q, fs=SFREQ)
            rows = np.concatenate([numerator, denominator])[None]
        case LowPass():
            rows = signal.butter(wanted.order, wanted.high_hz, "lowpass", output="sos", fs=SFREQ)
        case BandPass() | BandStop():
            kind: Literal["bandpass", "bandstop"] = "bandpass" if isinstance(wanted, BandPass) else "bandstop"
            rows = signal.butter(wanted.order, (wanted.low_hz, wanted.high_hz), kind, output="sos", fs=SFREQ)
    return tuple((b0, b1, b2, a0, a1, a2) for b0, b1, b2, a0, a1, a2 in rows.tolist())
