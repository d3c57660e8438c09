"""The rows of a synthetic data set's tables, and the ids in them."""

from dataclasses import dataclass

import numpy as np

from hms_search.data.hms import TABLE_COLUMNS
from hms_search.data.labels import CONSENSUS_NAMES
from hms_search.data.synthetic.plan import LEAD_S, Recording, Session
from hms_search.data.unlabelled import TEST_COLUMNS


@dataclass(frozen=True)
class Ids:
    """The ids of a session: unlike each other and in no order, as in the competition, but never colliding."""

    patient_number: int
    session: Session

    @property
    def patient(self) -> int:
        """The patient's id."""
        return _scramble(self.patient_number, 65_521)

    @property
    def spectrogram(self) -> int:
        """The id of the session's spectrogram file."""
        return _scramble(self._session_number, 2_147_483_647)

    def eeg(self, recording: Recording) -> int:
        """Return the id of an EEG file."""
        return _scramble(self._session_number * 3 + recording.number, 4_294_967_291)

    def label(self, recording: Recording, row: int) -> int:
        """Return the id of a labelled window."""
        return _scramble((self._session_number * 3 + recording.number) * 12 + row, 4_294_967_279)

    @property
    def _session_number(self) -> int:
        return self.patient_number * 8 + self.session.number


def train_rows(session: Session, ids: Ids) -> list[dict[str, object]]:
    """Return a session's rows of train.csv."""
    rows: list[dict[str, object]] = []
    for recording in session.recordings:
        for index, window in enumerate(recording.windows):
            values = (
                ids.eeg(recording), index, float(window.offset_s), ids.spectrogram, len(rows),
                float(recording.start_s + window.offset_s - LEAD_S), ids.label(recording, index), ids.patient,
                CONSENSUS_NAMES[int(np.argmax(window.votes))], *window.votes,
            )  # fmt: skip
            rows.append(dict(zip(TABLE_COLUMNS, values, strict=True)))
    return rows


def test_rows(session: Session, ids: Ids) -> list[dict[str, object]]:
    """Return a session's rows of test.csv."""
    values = [(ids.spectrogram, ids.eeg(recording), ids.patient) for recording in session.recordings]
    return [dict(zip(TEST_COLUMNS, row, strict=True)) for row in values]


def _scramble(number: int, prime: int) -> int:
    """Return a one-to-one image of ``number`` in 1 .. prime - 1."""
    return (number + 1) * 2_654_435_769 % prime
