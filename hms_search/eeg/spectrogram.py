"""Every representation of EEG: from derivations to planes of frequency by time, or to the signals themselves.

All have ``forward(x, chains)``: derivations ``[batch, derivation, time]`` at 200 Hz without gaps, and which of them
form chains, become planes ``[batch, plane, freq, frame]``, float32, lowest frequency first. What a batch needs in
between is bounded, however large the batch.
"""

from typing import Annotated

from hms_search.component import Field
from hms_search.eeg.fft_image import FftImage
from hms_search.eeg.mel import ChainMel, LogMel
from hms_search.eeg.psd import Psd
from hms_search.eeg.stft import Stft
from hms_search.eeg.waveform import Waveform
from hms_search.eeg.zoom import Zoom

Representation = Annotated[ChainMel | LogMel | Psd | Stft | FftImage | Zoom | Waveform, Field(discriminator="name")]
"""Every representation; a new one is a class in a file of its own and its place in this union."""
