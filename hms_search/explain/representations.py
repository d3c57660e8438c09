"""The rows and columns of every EEG representation's planes: in Hz, seconds and derivations."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hms_search.data.hms import EEG_WINDOW, SFREQ
from hms_search.eeg.fft_image import FftImage
from hms_search.eeg.mel import ChainMel, LogMel
from hms_search.eeg.mel_bands import Mel, mel_matrix
from hms_search.eeg.montage import Montage
from hms_search.eeg.psd import Psd
from hms_search.eeg.spectrogram import Representation
from hms_search.eeg.stft import Stft
from hms_search.eeg.waveform import Waveform
from hms_search.eeg.zoom import Zoom

Ticks = tuple[tuple[float, str], ...]
"""Places in pixels, the first pixel reaching from 0 to 1, and what is written there."""

_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_MOST_TICKS = 6
_STATISTICS = ("mean", "25th percentile", "75th percentile")


@dataclass(frozen=True)
class Planes:
    """Planes of one size: their names, and what their rows and columns are."""

    names: tuple[str, ...]
    height: int
    width: int
    rows: Ticks
    columns: Ticks
    rows_label: str
    columns_label: str
    names_label: str = "plane"


def planes_of(representation: Representation, montage: Montage) -> Planes:
    """Return what a representation's planes of a 50 s window show."""
    derivations = montage.derivations
    if isinstance(representation, FftImage):
        hz = np.array(representation.frequencies)
        rows = tuple((row + 0.5, name) for row, name in enumerate(derivations))
        columns = round_ticks(hz, "Hz")
        return Planes(_STATISTICS, len(derivations), len(hz), rows, columns, "derivation", "frequency", "statistic")
    if isinstance(representation, Waveform):
        seconds = _waveform_s(representation)
        columns = round_ticks(seconds, "s")
        return Planes(derivations, 1, len(seconds), (), columns, "derivation", "time", "derivation")
    hz, seconds = _frequencies(representation), _frames_s(representation)
    names_label, names = "derivation", derivations
    if isinstance(representation, ChainMel) or (isinstance(representation, Psd) and representation.planes == "chain"):
        names_label, names = "chain", _chain_names(montage)
    elif isinstance(representation, LogMel | Zoom) and representation.contrasts:
        names = _with_contrasts(derivations)
    rows, columns = round_ticks(hz, "Hz"), round_ticks(seconds, "s")
    return Planes(names, len(hz), len(seconds), rows, columns, "frequency", "time", names_label)


def round_ticks(
    values: Float[np.ndarray, " pixel"], unit: str, *, least: float = -np.inf, most: float = np.inf
) -> Ticks:
    """Return ticks at round values of pixels with these ``values`` at their centres, within ``least`` and ``most``.

    Values rise, but where a close-up begins or ends they may fall back: what is shown twice has two ticks.
    """
    low, high = max(values[0], least), min(values[-1], most)
    step = next((step for step in _STEPS if (high - low) / step <= _MOST_TICKS), _STEPS[-1])
    ends = np.flatnonzero(np.diff(values) <= 0) + 1
    centres = np.arange(len(values)) + 0.5
    parts = zip(np.split(values, ends), np.split(centres, ends), strict=True)
    return tuple(tick for part in parts for tick in _ticks(*part, step, (least, most), unit))


def _ticks(
    values: Float[np.ndarray, " pixel"],
    centres: Float[np.ndarray, " pixel"],
    step: float,
    within: tuple[float, float],
    unit: str,
) -> Ticks:
    low, high = max(values[0], within[0]), min(values[-1], within[1])
    shown = np.arange(np.ceil(low / step), np.floor(high / step + 1e-9) + 1) * step
    return tuple((float(np.interp(value, values, centres)), f"{value:g} {unit}") for value in shown)


def _frequencies(representation: ChainMel | LogMel | Psd | Stft | Zoom) -> Float[np.ndarray, " row"]:
    if isinstance(representation, ChainMel | LogMel):
        return _band_centres(representation.mel)
    if isinstance(representation, Zoom):
        return _band_centres(representation.overview.mel)
    return np.array(representation.frequencies)


def _band_centres(mel: Mel) -> Float[np.ndarray, " band"]:
    bands = mel_matrix(mel)
    bins = np.arange(bands.shape[1]) * SFREQ / mel.n_fft
    centres: Float[np.ndarray, " band"] = bands @ bins / bands.sum(axis=1)
    return centres


def _frames_s(representation: ChainMel | LogMel | Psd | Stft | Zoom) -> Float[np.ndarray, " frame"]:
    """Return the seconds at the middle of each frame."""
    if isinstance(representation, ChainMel):
        return np.arange(representation.frames) * (EEG_WINDOW // representation.frames) / SFREQ
    if isinstance(representation, LogMel):
        return _centred_s(representation, EEG_WINDOW)
    if isinstance(representation, Zoom):
        return _spliced_s(representation)
    length = representation.n_fft if isinstance(representation, Stft) else representation.win_length
    count = (EEG_WINDOW - length) // representation.hop_length + 1
    return (np.arange(count) * representation.hop_length + length / 2) / SFREQ


def _centred_s(mel: LogMel, n_times: int) -> Float[np.ndarray, " frame"]:
    return np.arange(1 + n_times // mel.hop_length) * mel.hop_length / SFREQ


def _spliced_s(zoom: Zoom) -> Float[np.ndarray, " frame"]:
    """Return the seconds of a spectrogram whose middle is finer than its ends."""
    start = (EEG_WINDOW - zoom.samples) // 2
    wide, close = _centred_s(zoom.overview, EEG_WINDOW), _centred_s(zoom.close_up, zoom.samples) + start / SFREQ
    middle, half = len(wide) // 2, int(len(wide) * zoom.replaced / 2)
    return np.concatenate([wide[: middle - half], close, wide[middle + half :]])


def _waveform_s(waveform: Waveform) -> Float[np.ndarray, " sample"]:
    length = waveform.length or EEG_WINDOW
    start = (EEG_WINDOW - length) // 2
    return np.arange(start, start + length, waveform.every) / SFREQ


def _chain_names(montage: Montage) -> tuple[str, ...]:
    """Return the electrodes of each chain: ``Fp1-F7-T3-T5-O1``."""
    chains = [[montage.derivations[number].split("-") for number in chain] for chain in montage.chains]
    return tuple("-".join([chain[0][0], *(end for _, end in chain)]) for chain in chains)


def _with_contrasts(derivations: tuple[str, ...]) -> tuple[str, ...]:
    contrasts = ("", " less the others", " less its neighbours")
    return tuple(name + contrast for contrast in contrasts for name in derivations)
