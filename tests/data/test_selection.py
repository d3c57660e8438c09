"""Sampling rules on small hand-made tables."""

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from hms_search.data.labels import CLASSES, VOTE_COLUMNS
from hms_search.data.sampling import (
    EegMiddleSampling,
    LabelSampling,
    MaxVoteSampling,
    Sampling,
    SpectrogramSampling,
)
from hms_search.data.selection import select

LENGTHS = {"eeg": np.array([10_000, 60_000, 2_000]), "spectrogram": np.array([300, 690])}
"""EEGs 10, 11, 12 and spectrograms 20, 21 are stored, in this order."""


def line(label, eeg, spectrogram, votes, *, eeg_offset=0.0, spectrogram_offset=0.0):
    counts = [votes.get(name, 0) for name in CLASSES]
    return {
        "label_id": label,
        "patient_id": 1,
        "eeg_id": eeg,
        "spectrogram_id": spectrogram,
        "eeg_offset_s": eeg_offset,
        "spectrogram_offset_s": spectrogram_offset,
        "eeg": {10: 0, 11: 1, 12: 2}.get(eeg, -1),
        "spectrogram": {20: 0, 21: 1}.get(spectrogram, -1),
        **dict(zip(VOTE_COLUMNS, counts, strict=True)),
        "n_votes": sum(counts),
        "stratum": "high" if sum(counts) >= 10 else "low",
    }


def table(*lines):
    return pd.DataFrame(lines).astype({"eeg_id": "Int64", "spectrogram_id": "Int64"})


def test_spectrogram_sums_the_votes_of_all_rows_and_takes_the_whole_file():
    index = table(
        line(1, 11, 21, {"lpd": 3}),
        line(2, 11, 21, {"lpd": 2, "gpd": 1}, spectrogram_offset=80),
        line(3, 10, 20, {"other": 5}),
    )
    lines, left_out = select(SpectrogramSampling(), ("spectrogram",), index, LENGTHS)
    assert lines["sample_id"].tolist() == [20, 21]
    assert lines[list(VOTE_COLUMNS)].to_numpy().tolist() == [[0, 0, 0, 0, 0, 5], [0, 5, 1, 0, 0, 0]]
    assert lines["spectrogram_start"].tolist() == [0, 0]
    assert left_out == {}


def test_many_small_votes_do_not_make_a_high_sample_but_one_large_row_does():
    low = [line(i, 11, 21, {"lpd": 3}) for i in range(1, 8)]
    lines, _ = select(SpectrogramSampling(), ("spectrogram",), table(*low), LENGTHS)
    assert lines["lpd_vote"].tolist() == [21]
    assert lines["high"].tolist() == [False]
    for sampling in (SpectrogramSampling(), EegMiddleSampling()):
        lines, _ = select(sampling, ("spectrogram",), table(*low, line(9, 11, 21, {"lpd": 10})), LENGTHS)
        assert lines["high"].tolist() == [True]


def test_eeg_middle_takes_the_middle_window_of_both_recordings():
    index = table(
        line(1, 11, 21, {"lpd": 3}, eeg_offset=6, spectrogram_offset=6),
        line(2, 11, 21, {"lpd": 3}, eeg_offset=90, spectrogram_offset=91),
        line(3, 12, 20, {"gpd": 3}),
    )
    lines, _ = select(EegMiddleSampling(), ("spectrogram",), index, LENGTHS)
    assert lines["sample_id"].tolist() == [11, 12]
    assert lines["spectrogram_start"].tolist() == [((6 + 91) // 4), 0]
    assert lines["eeg_start"].tolist() == [25_000, -4_000]
    assert lines["lpd_vote"].tolist() == [6, 0]


def test_eeg_middle_uses_the_first_spectrogram_that_is_named():
    index = table(
        line(1, 11, None, {"lpd": 3}, spectrogram_offset=np.nan),
        line(2, 11, 21, {"lpd": 3}, spectrogram_offset=100),
        line(3, 11, 20, {"lpd": 3}, spectrogram_offset=0),
    )
    lines, left_out = select(EegMiddleSampling(), ("spectrogram",), index, LENGTHS)
    assert lines[["spectrogram_id", "spectrogram", "spectrogram_start"]].to_numpy().tolist() == [[21, 1, 50]]
    assert lines["lpd_vote"].tolist() == [9]
    assert left_out == {}


def test_label_gives_every_row_its_own_window():
    index = table(
        line(2, 11, 21, {"lpd": 3}, eeg_offset=7.9999, spectrogram_offset=7.9),
        line(1, 11, 21, {"gpd": 12}, eeg_offset=-20, spectrogram_offset=0),
    )
    lines, _ = select(LabelSampling(), ("spectrogram",), index, LENGTHS)
    assert lines["sample_id"].tolist() == [1, 2]
    assert lines["eeg_start"].tolist() == [-4000, 1599]
    assert lines["spectrogram_start"].tolist() == [0, 3]
    assert lines["high"].tolist() == [True, False]


def test_max_vote_keeps_the_windows_with_most_votes_that_do_not_overlap():
    index = table(
        line(1, 11, 21, {"lpd": 12}, eeg_offset=0),
        line(2, 11, 21, {"lpd": 14}, eeg_offset=10),
        line(3, 11, 21, {"lpd": 14}, eeg_offset=40),
        line(4, 11, 21, {"lpd": 14}, eeg_offset=60),
        line(5, 11, 21, {"lpd": 3}, eeg_offset=200),
        line(6, 10, 20, {"gpd": 9}),
        line(7, 12, 20, {"gpd": 10}),
    )
    lines, left_out = select(MaxVoteSampling(), ("spectrogram",), index, LENGTHS)
    assert lines["sample_id"].tolist() == [2, 4, 7]
    assert left_out == {
        "fewer than 10 votes": 2,
        "fewer votes than another window of the EEG": 1,
        "less than 50 s after a kept window": 1,
    }
    lines, _ = select(MaxVoteSampling(spacing_s=25), ("spectrogram",), index, LENGTHS)
    assert lines["sample_id"].tolist() == [2, 3, 7]  # 60 is only 20 s after 40


@pytest.mark.parametrize("sampling", [SpectrogramSampling(), EegMiddleSampling(), LabelSampling(), MaxVoteSampling()])
@pytest.mark.parametrize("source", ["spectrogram", "eeg"])
def test_every_row_is_in_a_sample_or_counted_as_left_out(sampling, source):
    random = np.random.default_rng(0)
    eegs, spectrograms = [10, 11, 12, 99, None], [20, 21, 98, None]
    index = table(
        *(
            line(
                i,
                eegs[random.integers(5)],
                spectrograms[random.integers(4)],
                {"lpd": int(random.integers(1, 16))},
                eeg_offset=float(random.integers(-60, 400)),
                spectrogram_offset=float(random.integers(-700, 1600)),
            )
            for i in range(300)
        )
    )
    lines, left_out = select(sampling, (source,), index, LENGTHS)
    assert (lines[source] >= 0).all()
    assert lines["sample_id"].is_monotonic_increasing
    assert lines["sample_id"].is_unique
    if sampling.name in ("label", "max_vote"):
        assert len(lines) + sum(left_out.values()) == 300
    else:
        kept = index[~index[f"{'eeg' if sampling.name == 'eeg_middle' else 'spectrogram'}_id"].isna()]
        assert sum(left_out.values()) <= 300
        assert lines[list(VOTE_COLUMNS)].to_numpy().sum() <= kept["n_votes"].sum()
    if sampling.name != "spectrogram":
        window = {"eeg": 10_000, "spectrogram": 300}[source]
        start, length = lines[f"{source}_start"].to_numpy(), LENGTHS[source][lines[source]]
        assert ((start < length) & (start + window > 0)).all()


def test_windows_off_the_file_are_left_out_and_counted():
    index = table(line(1, 10, 20, {"lpd": 3}, spectrogram_offset=600), line(2, 10, 20, {"lpd": 3}))
    lines, left_out = select(LabelSampling(), ("spectrogram",), index, LENGTHS)
    assert lines["sample_id"].tolist() == [2]
    assert left_out == {"spectrogram window outside the file": 1}


def test_the_rule_is_chosen_by_its_name():
    read = TypeAdapter(Sampling).validate_python
    assert read({"name": "max_vote", "spacing_s": 25}) == MaxVoteSampling(spacing_s=25.0)
    with pytest.raises(ValidationError, match="spectrogram"):
        read({"name": "spectogram"})
    with pytest.raises(ValidationError, match="greater than 0"):
        read({"name": "max_vote", "spacing_s": 0})
