"""What each sampling rule does to the rows of a Store: samples, the windows they cut, and the rows left out."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hms_search.data.hms import EEG_WINDOW, KINDS, SFREQ, SPECTROGRAM_STEP_S, SPECTROGRAM_WINDOW, Kind
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.data.middle import middle_windows
from hms_search.data.sampling import EegMiddleSampling, LabelSampling, MaxVoteSampling, Sampling, SpectrogramSampling

LINKS = (*(f"{kind}_id" for kind in KINDS), *KINDS)
"""Columns that tie a sample to its recordings: ids as in ``train.csv``, then line numbers in the Store (-1: none)."""
STARTS = ("eeg_start", "spectrogram_start")


def select(
    sampling: Sampling, kinds: tuple[Kind, ...], index: pd.DataFrame, lengths: dict[Kind, np.ndarray]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return one line per sample, and the number of rows that reach no sample by reason.

    Parameters
    ----------
    sampling
        The rule.
    kinds
        The kinds of recording every sample must have.
    index
        Accepted rows, as :func:`hms_search.data.index.index_table` returns them.
    lengths
        Rows of each stored recording, by kind.

    The lines have ``sample_id, patient_id, high``, the six vote columns, :data:`LINKS`, and :data:`STARTS`, the first
    row of the window in the recording (0 for whole files).
    """
    rows = index.assign(
        high=index["stratum"] == "high",
        eeg_start=np.trunc(index["eeg_offset_s"] * SFREQ).fillna(0).astype("int64"),
        spectrogram_start=np.floor(index["spectrogram_offset_s"] / SPECTROGRAM_STEP_S).fillna(0).astype("int64"),
    )
    if isinstance(sampling, EegMiddleSampling):
        rows = _to_middle(rows, lengths)
    left_out: dict[str, int] = {}

    def drop(rows: pd.DataFrame, where: "pd.Series[bool]", reason: str) -> pd.DataFrame:
        if where.any():
            left_out[reason] = int(where.sum())
        return rows[~where]

    for kind in kinds:
        rows = drop(rows, rows[f"{kind}_id"].isna(), f"no {kind}_id")
        rows = drop(rows, rows[kind] < 0, f"{kind} file missing or refused")
        if not isinstance(sampling, SpectrogramSampling):
            rows = drop(rows, ~_inside(rows, kind, lengths), f"{kind} window outside the file")
    if isinstance(sampling, MaxVoteSampling):
        rows = drop(rows, rows["n_votes"] < sampling.min_votes, f"fewer than {sampling.min_votes} votes")
        most = rows.groupby("eeg_id", dropna=False)["n_votes"].transform("max")
        rows = drop(rows, rows["n_votes"] < most, "fewer votes than another window of the EEG")
        rows = drop(
            rows, _too_close(rows, sampling.spacing_s), f"less than {sampling.spacing_s:g} s after a kept window"
        )
    if isinstance(sampling, SpectrogramSampling):
        return _summed(rows, "spectrogram_id").assign(spectrogram_start=0), left_out
    if isinstance(sampling, EegMiddleSampling):
        rows = drop(rows, rows["eeg_id"].isna(), "no eeg_id")
        return _summed(rows, "eeg_id"), left_out
    assert isinstance(sampling, LabelSampling | MaxVoteSampling)
    return _lines(rows.assign(sample_id=rows["label_id"]).sort_values("sample_id")), left_out


def groups_of(
    sampling: Sampling, lines: pd.DataFrame
) -> tuple[Int[np.ndarray, " samples"], Bool[np.ndarray, " samples"]]:
    """Return the number of the group of each sample, and which samples may be validated.

    With ``one_per_eeg``, the windows of an EEG are a group and the first in time is validated; samples without an EEG
    are groups of their own. ``lines`` are :func:`select`'s.
    """
    numbers = np.arange(len(lines))
    if not (isinstance(sampling, LabelSampling | MaxVoteSampling) and sampling.one_per_eeg):
        return numbers, np.ones(len(lines), dtype=bool)
    in_time = lines.assign(number=numbers).sort_values(["eeg_start", "sample_id"])
    first = in_time.groupby("eeg_id")["number"].transform("first")  # missing where there is no eeg_id
    groups = first.reindex(lines.index).fillna(pd.Series(numbers, lines.index)).to_numpy(dtype=np.int64)
    return groups, groups == numbers


def _to_middle(rows: pd.DataFrame, lengths: dict[Kind, np.ndarray]) -> pd.DataFrame:
    """Return the rows with the middle windows of their EEG: all rows of an EEG get the same links and starts."""
    middle = middle_windows(rows)
    stored = rows["spectrogram"].where(middle["named"]).groupby(rows["eeg_id"]).transform("max")
    rows = rows.assign(
        spectrogram_id=middle["spectrogram_id"],
        spectrogram_start=middle["spectrogram_start"],
        spectrogram=stored.fillna(-1).astype("int64"),
    )
    rows["eeg_start"] = (_lengths(rows, "eeg", lengths) - EEG_WINDOW) // 2
    return rows


def _lengths(rows: pd.DataFrame, kind: Kind, lengths: dict[Kind, np.ndarray]) -> "pd.Series[int]":
    """Return the rows of each row's recording, 0 where it has none."""
    padded = np.append(lengths[kind], 0)  # so that -1 finds the 0
    return pd.Series(padded[rows[kind].to_numpy()], index=rows.index)


def _inside(rows: pd.DataFrame, kind: Kind, lengths: dict[Kind, np.ndarray]) -> "pd.Series[bool]":
    """Return whether at least one row of each window is in its file."""
    window = EEG_WINDOW if kind == "eeg" else SPECTROGRAM_WINDOW
    start = rows[f"{kind}_start"]
    return (start < _lengths(rows, kind, lengths)) & (start + window > 0)


def _too_close(rows: pd.DataFrame, spacing_s: float) -> "pd.Series[bool]":
    """Return which windows start less than ``spacing_s`` after the last kept one of their EEG."""
    close = pd.Series(False, index=rows.index)
    kept_eeg, kept_s = object(), 0.0
    ordered = rows.sort_values(["eeg_id", "eeg_offset_s", "label_id"])
    for at, eeg, offset in zip(ordered.index, ordered["eeg_id"], ordered["eeg_offset_s"], strict=True):
        if pd.notna(eeg) and eeg == kept_eeg and offset - kept_s < spacing_s:
            close[at] = True
        else:
            kept_eeg, kept_s = eeg, offset
    return close


def _summed(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return one line per value of ``key``: votes summed, everything else from its first row."""
    groups = rows.groupby(key, sort=True)
    lines = rows.loc[groups["label_id"].idxmin()].set_index(key, drop=False)
    lines[list(VOTE_COLUMNS)] = groups[list(VOTE_COLUMNS)].sum()
    lines["high"] = groups["high"].any()
    return _lines(lines.assign(sample_id=lines[key]))


def _lines(rows: pd.DataFrame) -> pd.DataFrame:
    lines = rows[["sample_id", "patient_id", "high", *VOTE_COLUMNS, *LINKS, *STARTS]].reset_index(drop=True)
    return lines.astype({"sample_id": "int64"})
