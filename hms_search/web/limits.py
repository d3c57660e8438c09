"""What the web app takes at once, and why no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hms_search.data.claimed import claimed
from hms_search.data.hms import Kind
from hms_search.errors import DataError

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """The most of each that one request may bring.

    Attributes
    ----------
    files
        A page of results that is still read: 32 rows. A folder of recordings is for ``hms-search predict``.
    file_bytes
        An hour of 40 channels at 512 Hz and 16 bits, as amplifiers write EDF, is 141 MiB.
    total_bytes
        Uploads wait on disk until they are read; eight people at once then take 4 GiB.
    duration_s
        An hour of EEG is 356 windows, a minute or so of an EfficientNet on a CPU, and 29 MB while the tab shows it.
    spectrogram_s
        A day in steps of 2 s: a file of the competition is of minutes to hours.
    """

    files: int = 32
    file_bytes: int = 200 * MIB
    total_bytes: int = 512 * MIB
    duration_s: float = 3600.0
    spectrogram_s: float = 24 * 3600.0

    def check_count(self, found: int) -> None:
        """Raise DataError where there are no files or more than :attr:`files`."""
        if not 1 <= found <= self.files:
            raise DataError(f"expected 1 to {self.files} files at a time, found {found}; send them in parts")

    def check_sizes(self, paths: Sequence[Path]) -> None:
        """Raise DataError where the files together are larger than :attr:`total_bytes`."""
        total = sum(path.stat().st_size for path in paths)
        if total > self.total_bytes:
            raise DataError(
                f"expected at most {self.total_bytes // MIB} MiB at a time, found {total // MIB} MiB; "
                "send the files in parts"
            )

    def check_file(self, path: Path) -> None:
        """Raise DataError where a file is, or says that it unpacks to, more than :attr:`file_bytes`, or is too long."""
        self._check_bytes(path.stat().st_size)
        claim = claimed(path)
        if claim is not None:
            self._check_bytes(claim.n_bytes)
            self.check_duration(claim.kind, claim.duration_s)

    def check_duration(self, kind: Kind, seconds: float) -> None:
        """Raise DataError where a recording is longer than its kind may be."""
        longest = self.duration_s if kind == "eeg" else self.spectrogram_s
        if seconds > longest:
            raise DataError(f"expected at most {longest:g} s of {kind}, found {seconds:g} s; cut the recording")

    def _check_bytes(self, size: int) -> None:
        if size > self.file_bytes:
            most = self.file_bytes // MIB
            raise DataError(f"expected at most {most} MiB, found {size // MIB} MiB; cut the recording")
