"""Which channels of a recording are our electrodes, however they are spelled."""

import re
from collections.abc import Sequence

from hms_search.data.findings import few
from hms_search.eeg.electrodes import ELECTRODES, SCALP
from hms_search.errors import DataError

_ALIASES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6", "ECG": "EKG", "ECG1": "EKG", "EKG1": "EKG"}
"""The 10-10 system's names of electrodes of the 10-20 system, and those of the heart's channel."""
_PREFIX = re.compile(r"^(EEG|ECG|EKG|POL|BIO)[ _]+(?=\S)")
_REFERENCE = re.compile(r"[ _-]+(REF|LER?|AR|AVG?|A1|A2|M1|M2|A1\+?A2|M1\+?M2)$")
"""What a channel is recorded against; of two electrodes' difference neither is one of ours."""


def match_electrodes(names: Sequence[str]) -> dict[str, int]:
    """Return which channel is each of our electrodes; the EKG may be left out.

    Case, spaces, prefixes (``EEG Fp1``) and references (``FP1-REF``, ``Fp1-A2``) do not matter; T7, T8, P7, P8 and ECG
    are T3, T4, T5, T6 and EKG. Of several EKG channels the first is taken.

    Raises DataError naming at once every electrode of the scalp that no channel is, that several are, and references
    that are not one.
    """
    found: dict[str, list[int]] = {}
    references: set[str] = set()
    for number, name in enumerate(names):
        electrode, reference = _split(name)
        if electrode in ELECTRODES:
            found.setdefault(electrode, []).append(number)
        if electrode in SCALP:
            references.add(reference)
    faults = []
    missing = [electrode for electrode in SCALP if electrode not in found]
    if missing:
        faults.append(f"missing {', '.join(missing)}; found {few(names, 30) or 'no channels'}")
    twice = {e: [names[i] for i in found[e]] for e in SCALP if len(found.get(e, [])) > 1}
    faults += [f"several channels are {electrode}: {', '.join(channels)}" for electrode, channels in twice.items()]
    if len(references) > 1:
        written = ", ".join(sorted(reference or "none" for reference in references))
        faults.append(f"channels against different references: {written}")
    if faults:
        raise DataError(f"expected the 19 electrodes of the 10-20 system, {'; '.join(faults)}")
    return {electrode: found[electrode][0] for electrode in ELECTRODES if electrode in found}


def _split(name: str) -> tuple[str, str]:
    """Return the electrode a channel's name means, in our spelling where it is one, and the reference."""
    plain = _PREFIX.sub("", " ".join(name.upper().split()))
    reference = _REFERENCE.search(plain)
    electrode = plain[: reference.start()] if reference else plain
    electrode = _ALIASES.get(electrode, electrode)
    spelled = {known.upper(): known for known in ELECTRODES}
    return spelled.get(electrode, electrode), reference[1] if reference else ""
