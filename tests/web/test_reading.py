from pathlib import Path

import numpy as np
import pytest
from web_files import microvolts, write_parquet

from hms_search.data.hms import Kind
from hms_search.errors import DataError
from hms_search.web.limits import MIB, Limits
from hms_search.web.reading import Upload, read_uploads
from hms_search.web.recorded import Reading, Recorded, Refused

EEG: frozenset[Kind] = frozenset({"eeg"})
BOTH: frozenset[Kind] = frozenset({"eeg", "spectrogram"})


def read(*paths: Path, kinds: frozenset[Kind] = EEG, limits: Limits | None = None) -> tuple[Reading, ...]:
    return read_uploads([Upload(path.name, path) for path in paths], kinds, limits or Limits())


def power(rows: int = 300) -> np.ndarray:
    return np.random.default_rng(0).gamma(1, 1, (rows, 400))


def test_a_bad_file_is_refused_in_its_place_and_the_others_are_read(tmp_path: Path) -> None:
    good = write_parquet(tmp_path / "good.parquet", "eeg", microvolts(50))
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"nothing of the kind")
    first, second, third = read(good, bad, good)
    assert isinstance(first, Recorded)
    assert isinstance(second, Refused)
    assert isinstance(third, Recorded)
    assert str(tmp_path) not in second.reason
    assert "\n" not in second.reason


def test_a_recording_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    (refused,) = read(write_parquet(tmp_path / "7.parquet", "spectrogram", power()))
    assert isinstance(refused, Refused)
    assert refused.reason == "expected eeg, at which the model looks, found spectrogram"


@pytest.mark.parametrize(("eeg", "spectrogram"), [("7_eeg", "7_spectrogram"), ("EEG-7", "7"), ("a/7", "b/7")])
def test_files_that_are_called_alike_are_a_pair(tmp_path: Path, eeg: str, spectrogram: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one = write_parquet(tmp_path / f"{eeg}.parquet", "eeg", microvolts(50))
    other = write_parquet(tmp_path / f"{spectrogram}.parquet", "spectrogram", power())
    (pair,) = read(other, one, kinds=BOTH)
    assert isinstance(pair, Recorded)
    assert set(pair.parts) == BOTH
    assert pair.name == f"{one.name} + {other.name}"


def test_a_test_table_says_what_belongs_together(tmp_path: Path) -> None:
    table = tmp_path / "test.csv"
    table.write_text("spectrogram_id,eeg_id,patient_id\n20,1,5\n10,2,5\n")
    eegs = [write_parquet(tmp_path / f"{number}.parquet", "eeg", microvolts(50)) for number in (1, 2)]
    spectrograms = [write_parquet(tmp_path / f"{number}.parquet", "spectrogram", power()) for number in (10, 20)]
    pairs = read(table, *eegs, *spectrograms, kinds=BOTH)
    assert [pair.name for pair in pairs] == ["1.parquet + 20.parquet", "2.parquet + 10.parquet"]


def test_what_has_no_partner_or_two_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    lonely = write_parquet(tmp_path / "1_eeg.parquet", "eeg", microvolts(50))
    eeg = write_parquet(tmp_path / "2_eeg.parquet", "eeg", microvolts(50))
    two = [write_parquet(folder / "2.parquet", "spectrogram", power()) for folder in (tmp_path, tmp_path / "b")]
    other = write_parquet(tmp_path / "3.parquet", "spectrogram", power())
    reasons = [reading.reason for reading in read(lonely, eeg, *two, other, kinds=BOTH) if isinstance(reading, Refused)]
    assert len(reasons) == 3
    assert "no spectrogram was sent" in reasons[0]
    assert "expected one spectrogram" in reasons[1]
    assert "no EEG was sent" in reasons[2]


def test_windows_lie_ten_seconds_apart_and_reach_the_end(tmp_path: Path) -> None:
    (recorded,) = read(write_parquet(tmp_path / "long.parquet", "eeg", microvolts(95)))
    assert isinstance(recorded, Recorded)
    assert recorded.cut.starts_s == (0, 10, 20, 30, 40, 45)
    assert recorded.nearest(37) == 1
    part = recorded.parts["eeg"].values
    np.testing.assert_array_equal(recorded.cut.window(5)["eeg"], part[-10_000:])


def test_a_short_recording_is_one_window_around_it(tmp_path: Path) -> None:
    (recorded,) = read(write_parquet(tmp_path / "short.parquet", "eeg", microvolts(20)))
    assert isinstance(recorded, Recorded)
    window = recorded.cut.window(0)["eeg"]
    assert recorded.cut.starts_s == (-15,)
    assert np.isnan(window[: 15 * 200]).all()
    np.testing.assert_array_equal(window[15 * 200 : 35 * 200], recorded.parts["eeg"].values)


def test_too_many_or_too_large_files_are_no_request(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "7.parquet", "eeg", microvolts(50))
    with pytest.raises(DataError, match="1 to 2 files at a time, found 3"):
        read(file, file, file, limits=Limits(files=2))
    with pytest.raises(DataError, match="1 to 32 files"):
        read()
    with pytest.raises(DataError, match="at most 0 MiB at a time"):
        read(file, file, limits=Limits(total_bytes=10))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(file_bytes=MIB // 10), "at most 0 MiB"), (Limits(duration_s=40), "at most 40 s of eeg, found 50 s")],
)
def test_a_recording_that_is_too_large_or_too_long_is_refused(tmp_path: Path, limits: Limits, reason: str) -> None:
    (refused,) = read(write_parquet(tmp_path / "7.parquet", "eeg", microvolts(50)), limits=limits)
    assert isinstance(refused, Refused)
    assert reason in refused.reason


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_unread(tmp_path: Path) -> None:
    bomb = write_parquet(tmp_path / "bomb.parquet", "eeg", np.zeros((2_000_000, 20), dtype=np.float32))
    assert bomb.stat().st_size < MIB
    (refused,) = read(bomb)
    assert isinstance(refused, Refused)
    assert "at most 3600 s of eeg, found 10000 s" in refused.reason


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/7.edf", "7.edf"),
        ("C:\\eeg\\7.edf", "7.edf"),
        ("a\nb\x1b.edf", "ab.edf"),
        ("..", ".."),
        ("", "unnamed"),
    ],
)
def test_only_the_last_printable_part_of_a_name_is_shown(name: str, shown: str) -> None:
    assert Upload(name, Path("x")).shown == shown
