"""From uploaded files to recordings: a bad file is refused with its reason, the others are read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hms_search.data.edf import read_recording
from hms_search.data.hms import Kind
from hms_search.data.seizure_reading import read_seizure
from hms_search.errors import DataError
from hms_search.web.limits import Limits
from hms_search.web.pairs import paired, read_pairing_table
from hms_search.web.recorded import Reading, Recorded, Refused

_SHOWN = 100
"""Characters of a file name."""
_LONGEST = 255
"""Of a file name, as file systems have it."""
_NOT_IN_NAMES = frozenset("/\\<>")
"""What makes a name a path, or markup where somebody forgets to escape it."""


@dataclass(frozen=True)
class Upload:
    """An uploaded file: what its sender calls it, which is only shown, and where it lies."""

    name: str
    path: Path

    @property
    def shown(self) -> str:
        """The name without folders and unprintable characters, shortened."""
        last = self.name.replace("\\", "/").rsplit("/", 1)[-1]
        return "".join(letter for letter in last if letter.isprintable())[-_SHOWN:] or "unnamed"

    def check_name(self) -> None:
        """Raise DataError where its name is none that a file should be sent under."""
        name = self.name
        bad = name in (".", "..") or len(name) > _LONGEST or not name.isprintable() or _NOT_IN_NAMES & set(name)
        if bad:
            raise DataError(
                f"expected a file name of at most {_LONGEST} printable characters without / \\ < and >; rename the file"
            )


def read_uploads(uploads: Sequence[Upload], kinds: Collection[Kind], limits: Limits) -> tuple[Reading, ...]:
    """Return the recordings in some files, or why there is none; raises DataError for too many or too large files.

    Each file is one; for a model that looks at EEG and spectrograms a pair of them, see :mod:`hms_search.web.pairs`.
    """
    limits.check_count(len(uploads))
    limits.check_sizes([upload.path for upload in uploads])
    both, table = len(kinds) > 1, dict[str, str]()
    readings: list[Reading] = []
    for upload in uploads:
        try:
            upload.check_name()
            limits.check_file(upload.path)
            if both and upload.path.suffix.lower() == ".csv":
                table |= read_pairing_table(upload.path)
            else:
                readings.append(_recorded(upload, kinds, limits))
        except DataError as error:
            readings.append(Refused(upload.shown, _one_line(error, upload)))
    return paired(readings, table) if both else tuple(readings)


def _recorded(upload: Upload, kinds: Collection[Kind], limits: Limits) -> Recorded:
    if "fft" in kinds:
        loaded, samples = read_seizure(upload.path)
    else:
        loaded, samples = read_recording(upload.path), None
        if loaded.kind not in kinds:
            raise DataError(f"expected {' and '.join(sorted(kinds))}, at which the model looks, found {loaded.kind}")
    if loaded is not None:
        limits.check_duration(loaded.kind, loaded.duration_s)
    recorded = Recorded(upload.shown, {loaded.kind: loaded} if loaded else {}, samples)
    _ = recorded.cut.starts_s  # is refused where it is too short
    return recorded


def _one_line(error: DataError, upload: Upload) -> str:
    """Return the reason without the folder that the file lies in for now."""
    return " ".join(str(error).replace(f"{upload.path.parent}/", "").split())
