"""What is stored of a recording, and what float16 costs."""

import numpy as np
import pytest

from hms_search.data.hms import read_eeg, read_spectrogram, to_microvolts
from hms_search.data.shards import ShardTask, read_shard, shard_size, write_shard
from hms_search.eeg.histogram import log_power


@pytest.mark.data
def test_float16_costs_real_log_power_a_thousandth(shared_data):
    squares, largest, largest_within_16 = [], 0.0, 0.0
    paths = sorted((shared_data / "iiic" / "train_spectrograms").iterdir())
    for path in paths:
        power = read_spectrogram(path).astype(np.float64)
        exact = np.log(power)
        error = np.abs(log_power(power.astype(np.float32)).astype(np.float16) - exact)
        squares.append((error**2).mean())
        largest = max(largest, error.max())
        largest_within_16 = max(largest_within_16, error[np.abs(exact) < 16].max())
    assert len(paths) == 16
    assert np.sqrt(max(squares)) == pytest.approx(0.0010, abs=0.0001)
    assert largest_within_16 <= 0.00391
    assert largest == pytest.approx(0.0124, abs=0.0001)


@pytest.mark.data
def test_float16_costs_real_microvolts_less_than_five_in_ten_thousand(shared_data):
    rms, largest = [], 0.0
    paths = sorted((shared_data / "iiic" / "train_eegs").iterdir())
    for path in paths:
        signal = read_eeg(path)
        present = np.abs(signal) > 0.01
        exact = signal[present].astype(np.float64)
        error = to_microvolts(signal)[present] - exact
        rms.append(np.sqrt((error**2).sum() / (exact**2).sum()))
        largest = max(largest, np.abs(error / exact).max())
    assert len(paths) == 34
    assert max(rms) == pytest.approx(0.00023, abs=0.00001)
    assert largest <= 0.00049


def test_microvolts_beyond_float16_are_clipped_and_gaps_stay():
    signal = np.array([[1e6, -np.inf, np.nan, 12.5]], dtype=np.float32)
    assert np.array_equal(to_microvolts(signal)[0], [65504, -65504, np.nan, 12.5], equal_nan=True)


def test_the_size_of_a_shard_depends_only_on_the_number_of_recordings():
    assert [shard_size(n) for n in (0, 34, 512, 1024, 17_089)] == [8, 8, 8, 16, 64]


def test_a_shard_is_read_back_only_when_complete_and_of_the_same_files(folder, tmp_path):
    folder.eeg(1)
    folder.eeg(2, n_times=300)
    paths = tuple((folder.root / "train_eegs").iterdir())
    task = ShardTask(tmp_path, "eeg-0000", "eeg", paths, "key", 0)
    assert read_shard(task) is None
    write_shard(task)
    shard = read_shard(task)
    assert shard is not None
    assert dict(zip(shard.ids.tolist(), shard.lengths.tolist(), strict=True)) == {1: 10_000, 2: 300}
    assert read_shard(ShardTask(tmp_path, "eeg-0000", "eeg", paths, "other key", 0)) is None
    side = tmp_path / "eeg-0000.npz"
    whole = side.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-500] + bytes(500), b"no archive at all"):
        side.write_bytes(damaged)
        assert read_shard(task) is None
    side.write_bytes(whole)
    assert read_shard(task) is not None
    with (tmp_path / "eeg-0000.f16").open("ab") as file:
        file.write(b"x")
    assert read_shard(task) is None
