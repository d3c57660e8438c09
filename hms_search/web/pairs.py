"""Which EEG and which spectrogram belong together, for models that look at both.

An uploaded ``test.csv`` (columns ``eeg_id`` and ``spectrogram_id``) names them. Else they are called alike but for the
words eeg and spectrogram: ``7_eeg.edf`` and ``7_spectrogram.parquet``, or twice ``7.parquet``. There is no guess beyond
that: an answer that mixes two patients is worse than none.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from hms_search.data.hms import Kind
from hms_search.errors import DataError
from hms_search.web.recorded import Reading, Recorded, Refused

PairingTable = Mapping[str, str]
"""The spectrogram's id by the EEG's."""

_COLUMNS = ("eeg_id", "spectrogram_id")
_KIND_WORDS = re.compile(r"[\s_.-]*(?:eegs?|spectrograms?)[\s_.-]*", re.IGNORECASE)


def read_pairing_table(path: Path) -> PairingTable:
    """Return the pairs that a table in the form of ``test.csv`` names; raises DataError where it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"expected a CSV table, but it cannot be read: {error}") from None
    if not rows or any(rows[0].get(column) is None for column in _COLUMNS):
        found = ", ".join(rows[0]) if rows else "no rows"
        raise DataError(f"expected a table with the columns {' and '.join(_COLUMNS)}, found {found[:200]}")
    return {(row["eeg_id"] or "").strip(): (row["spectrogram_id"] or "").strip() for row in rows}


def paired(readings: Sequence[Reading], table: PairingTable) -> tuple[Reading, ...]:
    """Return the pairs in the place of their EEGs; what has no partner, or more than one, is refused."""
    eegs, spectrograms = _of_kind(readings, "eeg"), _of_kind(readings, "spectrogram")
    partners = {id(eeg): [one for one in spectrograms if _belong_together(eeg, one, table)] for eeg in eegs}
    found: list[Reading] = []
    for reading in readings:
        if isinstance(reading, Refused):
            found.append(reading)
        elif reading in eegs:
            found.append(_pair(reading, partners[id(reading)]))
        elif not any(reading in others for others in partners.values()):
            found.append(_lonely(reading, "EEG"))
    return tuple(found)


def _of_kind(readings: Sequence[Reading], kind: Kind) -> list[Recorded]:
    return [reading for reading in readings if isinstance(reading, Recorded) and kind in reading.parts]


def _belong_together(eeg: Recorded, spectrogram: Recorded, table: PairingTable) -> bool:
    eeg_id, spectrogram_id = PurePath(eeg.name).stem, PurePath(spectrogram.name).stem
    if eeg_id in table:
        return table[eeg_id] == spectrogram_id
    return _KIND_WORDS.sub("", eeg_id).casefold() == _KIND_WORDS.sub("", spectrogram_id).casefold()


def _pair(eeg: Recorded, spectrograms: Sequence[Recorded]) -> Reading:
    if not spectrograms:
        return _lonely(eeg, "spectrogram")
    if len(spectrograms) > 1:
        names = ", ".join(spectrogram.name for spectrogram in spectrograms)
        return Refused(eeg.name, f"expected one spectrogram that belongs to it, found {names}; give them other names")
    (spectrogram,) = spectrograms
    return Recorded(f"{eeg.name} + {spectrogram.name}", {**eeg.parts, **spectrogram.parts})


def _lonely(reading: Recorded, lacks: str) -> Refused:
    return Refused(
        reading.name,
        f"the model looks at EEG and spectrogram, and no {lacks} was sent that belongs to it: call them alike, as "
        "7_eeg.edf and 7_spectrogram.parquet, or send the test.csv that names both",
    )
