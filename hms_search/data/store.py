"""The Store: prepared recordings as memory-mapped arrays, cut into samples by a sampling rule.

Nothing is read from parquet recordings any more; opening reads the tables only.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float16, Int

from hms_search.component import fingerprint_of
from hms_search.data.arrays import UNREADABLE
from hms_search.data.atomic import write_array
from hms_search.data.hms import EEG_WINDOW, KINDS, SPECTROGRAM_WINDOW, Kind
from hms_search.data.index import BAKED, HISTOGRAMS, read_manifest
from hms_search.data.labels import VOTE_COLUMNS, TaskName, targets_of
from hms_search.data.recordings import Recordings
from hms_search.data.sampling import Sampling, SpectrogramSampling
from hms_search.data.selection import groups_of, select
from hms_search.data.store_faults import store_faults
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.histogram import N_COUNTS, count_log_power
from hms_search.eeg.pipeline import PIPELINE_VERSION
from hms_search.errors import DataError

logger = logging.getLogger(__name__)

_SHOWN_FAULTS = 3


@dataclass(frozen=True, eq=False, repr=False)
class Store:
    """Samples of a prepared data folder; open with :meth:`open`.

    Attributes
    ----------
    kinds, having
        The kinds of recording that are read of a sample, and those that every sample has.
    fingerprint
        12 hex digits of the content, the sampling and the kinds that every sample has; the same for a copied folder.
    samples
        One line per sample: ``sample_id, eeg_id, spectrogram_id, patient_id, n_votes, stratum, consensus``. ``n_votes``
        is the sum over the rows behind the sample; ``stratum`` is "high" when one of these rows alone has at least 10
        votes; ``consensus`` is the index of the class with most votes (the first of equals).
    votes, targets
        ``[samples, 6]``; the votes summed, and as a distribution.
    high, patients
        ``stratum == "high"`` and ``patient_id`` as arrays.
    groups, scored
        The group of each sample, of which an epoch trains on one sample, and whether a sample may be validated: the
        first window of each EEG where the sampling says ``one_per_eeg``; else a group per sample, and all of them.
    left_out
        Number of rows of ``train.csv`` that reach no sample, by reason.
    baked
        The pipeline whose images are read in place of EEG, if any.
    """

    path: Path
    sampling: Sampling
    kinds: tuple[Kind, ...]
    having: tuple[Kind, ...]
    fingerprint: str
    samples: pd.DataFrame
    votes: Int[np.ndarray, "samples 6"]
    targets: Float[np.ndarray, "samples 6"]
    high: Bool[np.ndarray, " samples"]
    patients: Int[np.ndarray, " samples"]
    groups: Int[np.ndarray, " samples"]
    scored: Bool[np.ndarray, " samples"]
    left_out: dict[str, int]
    baked: EegPipeline | None
    _images: Float16[np.ndarray, "samples channel height width"] | None
    _recordings: Recordings
    _numbers: dict[Kind, Int[np.ndarray, " samples"]]
    _starts: dict[Kind, Int[np.ndarray, " samples"]]
    _counts: Int[np.ndarray, "samples counts"] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        sampling: Sampling,
        *,
        kinds: tuple[Kind, ...] = ("spectrogram",),
        having: tuple[Kind, ...] = (),
        baked: EegPipeline | None = None,
    ) -> "Store":
        """Return the samples that ``sampling`` makes of a prepared folder.

        Every sample has a recording of each of ``kinds``, which are read, and of ``having``, which are not; rows
        without one are left out and counted. With ``baked``, EEG is read as the images that
        :func:`hms_search.data.baked.bake` made. Raises DataError where there is no Store, it is not whole, there is no
        sample in it, or no such images.
        """
        manifest = read_manifest(path)
        if manifest is None:
            raise DataError(f"no Store in {path}, or one of another version: prepare the data folder first")
        faults = store_faults(path)
        if faults:
            raise DataError(
                f"the prepared recordings {path} are damaged: {'; '.join(faults[:_SHOWN_FAULTS])}; remove that folder: "
                "the same command prepares them again"
            )
        recordings = Recordings(path, pd.read_parquet(path / "recordings.parquet"))
        needed = tuple(kind for kind in KINDS if kind in {*kinds, *having})
        lines, left_out = select(sampling, needed, pd.read_parquet(path / "index.parquet"), recordings.lengths)
        if manifest["rejected_rows"]:
            left_out = {"refused while preparing": manifest["rejected_rows"], **left_out}
        if lines.empty:
            why = "; ".join(f"{reason}: {number}" for reason, number in left_out.items())
            raise DataError(
                f"{path}: no sample with sampling {sampling.name} and {' and '.join(needed)}; rows left out: {why}"
            )
        votes = lines[list(VOTE_COLUMNS)].to_numpy(dtype=np.int64)
        samples = lines[["sample_id", "eeg_id", "spectrogram_id", "patient_id"]].assign(
            n_votes=votes.sum(axis=1), stratum=np.where(lines["high"], "high", "low"), consensus=votes.argmax(axis=1)
        )
        groups, scored = groups_of(sampling, lines)
        unbaked = samples_fingerprint(manifest["content"], sampling, needed)
        images = None if baked is None else _images(baked_file(path, unbaked, baked))
        return cls(
            path=path,
            sampling=sampling,
            kinds=kinds,
            having=needed,
            fingerprint=samples_fingerprint(manifest["content"], sampling, needed, baked),
            samples=samples,
            votes=votes,
            targets=targets_of(votes),
            high=lines["high"].to_numpy(dtype=bool),
            patients=lines["patient_id"].to_numpy(dtype=np.int64),
            groups=groups,
            scored=scored,
            left_out=left_out,
            baked=baked,
            _images=images,
            _recordings=recordings,
            _numbers={kind: lines[kind].to_numpy() for kind in KINDS},
            _starts={kind: lines[f"{kind}_start"].to_numpy() for kind in KINDS},
        )

    def __len__(self) -> int:
        return len(self.votes)

    @property
    def task(self) -> TaskName:
        """The competition's six classes."""
        return "hms"

    @property
    def sample_ids(self) -> Int[np.ndarray, " samples"]:
        """``sample_id`` as an array."""
        return self.samples["sample_id"].to_numpy(dtype=np.int64)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, sampling={self.sampling.name!r}, kinds={self.kinds!r}, samples={len(self)})"

    def __reduce__(self) -> tuple[Callable[..., "Store"], tuple[Path, Sampling, dict[str, Any]]]:
        return _reopen, (self.path, self.sampling, {"kinds": self.kinds, "having": self.having, "baked": self.baked})

    def spectrogram(self, row: int) -> Float16[np.ndarray, "time 400"]:
        """Return a sample's natural-log power, -inf where the power is 0 and NaN where it is missing or off the file.

        Columns are LL, RL, LP, RP x 100 frequencies; ``time`` is in steps of 2 s, the file's length where a sample is
        the whole file, else 300. The array is a read-only view of the file wherever the window lies inside it.
        """
        return self._window("spectrogram", row, None if self._whole else SPECTROGRAM_WINDOW)

    def eeg(self, row: int) -> Float16[np.ndarray, "10000 20"]:
        """Return a sample's microvolts in the electrodes' file order, NaN where missing or off the file."""
        return self._window("eeg", row, EEG_WINDOW)

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return a sample's spectrogram, EEG or its baked image, or both: what the Store was opened for."""
        read = {"spectrogram": self.spectrogram, "eeg": self.eeg if self._images is None else self._images.__getitem__}
        return {kind: read[kind](row) for kind in self.kinds}

    def histograms(self) -> Int[np.ndarray, "samples counts"]:
        """Return :func:`count_log_power` of every sample's spectrogram, uint32.

        Whole files were counted while preparing; windows are counted at the first call and kept beside the Store.
        """
        if self._counts is not None:
            return self._counts
        if self._whole:
            whole = np.load(self.path / "counts.npy", mmap_mode="r", allow_pickle=False)
            counts: np.ndarray = whole[self._numbers["spectrogram"]]
            return counts
        cache = self.path / HISTOGRAMS / f"{self.fingerprint}.npy"
        with suppress(*UNREADABLE):
            counts = np.load(cache, allow_pickle=False)
            if counts.shape == (len(self), N_COUNTS):
                return counts
        counts = np.stack([count_log_power(self.spectrogram(row)) for row in range(len(self))])
        try:
            cache.parent.mkdir(exist_ok=True)
            write_array(cache, counts)
        except OSError as error:
            logger.warning("cannot keep the histograms in %s (%s): they will be counted again", cache, error.strerror)
        return counts

    def contents(self) -> dict[str, Any]:
        """Return what ``Store(**contents)`` needs of files, all of it: pickled, it is the same Store on any machine.

        Nothing is read until then but the histograms.
        """
        read = {
            "_recordings": self._recordings.read_now(),
            "_images": None if self._images is None else np.asarray(self._images),
            "_counts": self.histograms() if "spectrogram" in self.kinds else None,
        }
        return {field.name: getattr(self, field.name) for field in fields(self)} | read

    @property
    def _whole(self) -> bool:
        return isinstance(self.sampling, SpectrogramSampling)

    def _window(self, kind: Kind, row: int, length: int | None) -> np.ndarray:
        number = int(self._numbers[kind][row])
        if number < 0:
            raise DataError(
                f"sample {self.samples['sample_id'].iat[row]} has no {kind}; open the Store with kinds={(kind,)!r}"
            )
        if length is None:
            length = int(self._recordings.lengths[kind][number])
        return self._recordings.window(kind, number, int(self._starts[kind][row]), length)


def baked_file(store: Path, fingerprint: str, part: EegPipeline) -> Path:
    """Return where the baked images of a Store's samples lie."""
    return store / BAKED / f"{fingerprint_of([fingerprint, part.to_dict(), PIPELINE_VERSION])}.npy"


def _images(file: Path) -> np.ndarray:
    try:
        images: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise DataError(
            f"no baked images in {file} ({error}); remove it if it is damaged, then write them by hms-search data "
            "prepare --bake STUDY"
        ) from None
    return images


def samples_fingerprint(
    content: str, sampling: Sampling, having: tuple[Kind, ...], baked: EegPipeline | None = None
) -> str:
    """Return the fingerprint of the samples that a sampling makes of prepared recordings, by that of their content.

    ``having`` are the kinds of recording that every sample has.
    """
    needed = "+".join(kind for kind in KINDS if kind in having)
    fingerprint = fingerprint_of([content, sampling.to_dict(), needed])
    return fingerprint if baked is None else fingerprint_of([fingerprint, baked.to_dict()])


def _reopen(path: Path, sampling: Sampling, options: dict[str, Any]) -> Store:
    return Store.open(path, sampling, **options)
