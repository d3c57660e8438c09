"""A recording made up for trying the app: never of a person, and called so."""

from functools import lru_cache

import numpy as np

from hms_search.data.edf import LoadedRecording
from hms_search.data.hms import ELECTRODES, POWERS, Kind, to_microvolts
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.synthetic.annotators import draw_panel
from hms_search.data.synthetic.patients import draw_patient
from hms_search.data.synthetic.plan import plan_session
from hms_search.data.synthetic.render import render
from hms_search.data.synthetic.seizure_types import draw_seizure
from hms_search.eeg.histogram import log_power
from hms_search.web.recorded import Recorded

_SEED = 7
_NAME = "synthetic example, no person's EEG"


@lru_cache(maxsize=2)
def synthetic_example(kinds: frozenset[Kind]) -> Recorded:
    """Return a synthetic recording of the kinds that a model looks at, always the same; of FFT samples an absence."""
    rng = np.random.default_rng(_SEED)
    if "fft" in kinds:
        return Recorded(_NAME, {}, draw_seizure(SEIZURE_TYPES.index("ABSZ"), rng))
    panel = draw_panel(rng)
    patient = draw_patient(rng)
    session = plan_session(0, patient, panel, rng, plain=True)
    rendered = render(session, patient, rng)
    eeg = to_microvolts(rendered.eegs[0].T.astype(np.float32))
    parts: dict[Kind, LoadedRecording] = {
        "eeg": LoadedRecording("eeg", eeg, ELECTRODES),
        "spectrogram": LoadedRecording("spectrogram", log_power(rendered.spectrogram).astype(np.float16), POWERS),
    }
    return Recorded(_NAME, {kind: parts[kind] for kind in sorted(kinds)})
