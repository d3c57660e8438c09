"""The middle spectrogram window of an EEG: one rule for training samples and for the rows to predict."""

import pandas as pd

from hms_search.data.hms import SPECTROGRAM_STEP_S


def middle_windows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each row, the spectrogram and the window that its EEG is represented by.

    Parameters
    ----------
    rows
        ``eeg_id``, ``spectrogram_id`` and ``spectrogram_offset_s`` of labelled windows, in the order of their labels.

    The result has the index of ``rows``: ``spectrogram_id``, the first that the EEG names (missing where it names
    none); ``spectrogram_start``, row ``(min + max) // 4`` of the EEG's offsets in that file in seconds, 0 where there
    are none (Deotte's starter notebooks); ``named``, whether the row itself names that spectrogram.
    """
    first = rows.groupby("eeg_id")["spectrogram_id"].transform("first")
    named = (rows["spectrogram_id"] == first).fillna(False).astype(bool)
    offsets = rows["spectrogram_offset_s"].where(named).groupby(rows["eeg_id"])
    middle = (offsets.transform("min") + offsets.transform("max")) // (2 * SPECTROGRAM_STEP_S)
    return pd.DataFrame(
        {"spectrogram_id": first, "spectrogram_start": middle.fillna(0).astype("int64"), "named": named}
    )
