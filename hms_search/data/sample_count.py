"""How many samples a data folder will have, counted in its table before it is prepared."""

from pathlib import Path

from hms_search.data.hms import read_table
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.data.sampling import EegMiddleSampling, LabelSampling, MaxVoteSampling, Sampling
from hms_search.data.source import scan


def counted_samples(root: Path, sampling: Sampling) -> int:
    """Return how many samples a sampling rule makes of a folder, if none of its recordings is refused.

    Windows that are a fixed distance apart are counted by dividing their offsets by it, which may be off by a few.
    """
    table = read_table(root)
    table = table[table["fault"] == ""]
    if isinstance(sampling, LabelSampling):
        return len(table)
    if isinstance(sampling, EegMiddleSampling):
        return int(table["eeg_id"].nunique())
    if isinstance(sampling, MaxVoteSampling):
        votes = table[list(VOTE_COLUMNS)].sum(axis=1)
        most = table.assign(votes=votes).groupby("eeg_id")["votes"].transform("max")
        kept = table[(votes == most) & (votes >= sampling.min_votes)]
        places = kept["eeg_label_offset_seconds"] // sampling.spacing_s
        return len(kept.assign(place=places).drop_duplicates(["eeg_id", "place"]))
    return int(table["spectrogram_id"].nunique())


def recorded_bytes(root: Path) -> int:
    """Return the size of a folder's recordings."""
    return sum(stamp.n_bytes for files in scan(root).files.values() for stamp in files.values())
