"""Opening a Store and reading samples from it."""

import pickle
import shutil
import time

import numpy as np
import pytest

from hms_search.data.hms import ELECTRODES
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling, LabelSampling, MaxVoteSampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.eeg.histogram import count_log_power
from hms_search.errors import DataError

RULES = (SpectrogramSampling(), EegMiddleSampling(), LabelSampling(), MaxVoteSampling())


@pytest.fixture
def long(folder, tmp_path):
    """A long EEG and spectrogram with four windows, the last two partly off the files."""
    folder.signal = folder.eeg(1, n_times=40_000)
    folder.power = folder.spectrogram(101, n_rows=690)
    for offset in (0, 80, 780, -40):
        folder.row(1, 101, {"lpd": 2, "gpd": 1}, patient=5, eeg_offset=offset / 5, spectrogram_offset=offset)
    folder.store = tmp_path / "store"
    prepare(folder.write_table(), folder.store, workers=1)
    return folder


@pytest.mark.data
@pytest.mark.parametrize(
    ("sampling", "source", "n_samples"),
    [
        *((rule, "spectrogram", 16) for rule in RULES),
        (EegMiddleSampling(), "eeg", 34),
        (LabelSampling(), "eeg", 34),
        (MaxVoteSampling(), "eeg", 24),
    ],
)
def test_the_real_recordings_make_as_many_samples_as_have_the_files(shared_data, tmp_path, sampling, source, n_samples):
    prepare(shared_data / "iiic", tmp_path, workers=1)
    store = Store.open(tmp_path, sampling, kinds=(source,))
    assert len(store) == n_samples
    assert sum(store.left_out.values()) == 34 - n_samples
    for row in range(len(store)):
        if source == "spectrogram":
            assert store.spectrogram(row).shape == (300, 400)
        signal = store.eeg(row)
        assert signal.shape == (10_000, len(ELECTRODES))
        short = bool(np.isnan(signal[0]).all())
        assert short == (store.samples["eeg_id"][row] >= 900000025)
        assert not np.isnan(signal[4000:6000]).all()
        if short:
            assert np.isnan(signal[:4000]).all()
            assert np.isnan(signal[6000:]).all()


def test_a_window_is_the_part_of_the_file_that_the_row_names(long):
    store = Store.open(long.store, LabelSampling())
    for row, (offset, present) in enumerate([(0, 300), (80, 300), (780, 300), (-40, 280)]):
        window = store.spectrogram(row).astype(np.float32)
        first = offset // 2
        inside = np.log(long.power)[max(first, 0) : first + 300]
        assert len(inside) == present
        assert window.shape == (300, 400)
        np.testing.assert_allclose(window[300 - present :], inside, atol=0.004)
        assert np.isnan(window[: 300 - present]).all()
    np.testing.assert_allclose(store.eeg(1).astype(np.float32), long.signal[3200:13_200], rtol=5e-4, atol=1e-4)
    assert np.isnan(store.eeg(3)[:1600]).all()
    np.testing.assert_allclose(store.eeg(3)[1600:].astype(np.float32), long.signal[:8400], rtol=5e-4, atol=1e-4)


def test_the_end_of_a_window_beyond_the_file_is_missing(long):
    store = Store.open(long.store, LabelSampling(), kinds=("eeg",))
    tail = store.eeg(2)  # starts at 156 s of 200 s
    assert np.isnan(tail[8800:]).all()
    assert not np.isnan(tail[:8800]).any()


def test_the_whole_file_is_one_sample(long):
    store = Store.open(long.store, SpectrogramSampling())
    assert store.spectrogram(0).shape == (690, 400)
    assert store.votes.tolist() == [[0, 8, 4, 0, 0, 0]]
    assert store.samples["consensus"].tolist() == [1]
    assert store.samples["stratum"].tolist() == ["low"]


def test_the_middle_window_is_cut_from_the_middle(long):
    store = Store.open(long.store, EegMiddleSampling())
    first = (-40 + 780) // 4
    np.testing.assert_allclose(
        store.spectrogram(0).astype(np.float32), np.log(long.power)[first : first + 300], atol=0.004
    )
    np.testing.assert_allclose(store.eeg(0).astype(np.float32), long.signal[15_000:25_000], rtol=5e-4, atol=1e-4)


@pytest.mark.parametrize("sampling", RULES, ids=lambda rule: rule.name)
def test_the_arrays_of_a_store_agree_with_its_table(small, tmp_path, sampling):
    prepare(small.root, tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", sampling)
    samples = store.samples
    assert list(samples.index) == list(range(len(store)))
    assert samples["sample_id"].is_unique
    np.testing.assert_allclose(store.targets.sum(axis=1), 1)
    assert np.array_equal(store.votes.sum(axis=1), samples["n_votes"])
    assert np.array_equal(store.votes.argmax(axis=1), samples["consensus"])
    assert np.array_equal(store.high, samples["stratum"] == "high")
    assert np.array_equal(store.patients, samples["patient_id"])
    assert {str(samples[name].dtype) for name in ("eeg_id", "spectrogram_id")} == {"Int64"}
    assert {str(samples[name].dtype) for name in ("sample_id", "patient_id", "n_votes")} == {"int64"}


@pytest.mark.parametrize("sampling", RULES, ids=lambda rule: rule.name)
def test_histograms_are_those_of_the_samples_and_are_counted_once(small, tmp_path, sampling):
    prepare(small.root, tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", sampling)
    counts = store.histograms()
    direct = np.stack([count_log_power(store.spectrogram(row)) for row in range(len(store))])
    assert np.array_equal(counts, direct)
    assert counts.dtype == np.uint32
    for path in (tmp_path / "store" / "shards").glob("*.f16"):
        path.write_bytes(bytes(path.stat().st_size))  # nothing is left to count again
    assert np.array_equal(Store.open(tmp_path / "store", sampling).histograms(), direct)


def test_histograms_skip_the_recordings_that_are_in_no_sample(small, tmp_path):
    (small.root / "train_eegs" / "7.parquet").unlink()
    prepare(small.root, tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", SpectrogramSampling(), kinds=("eeg",))
    assert len(store) == 19
    direct = np.stack([count_log_power(store.spectrogram(row)) for row in range(len(store))])
    assert np.array_equal(store.histograms(), direct)


@pytest.mark.parametrize("n_bytes", [0, 100])
def test_a_damaged_histogram_cache_is_counted_again(long, n_bytes):
    store = Store.open(long.store, LabelSampling())
    counts = store.histograms()
    (cache,) = (long.store / "histograms").iterdir()
    cache.write_bytes(cache.read_bytes()[:n_bytes])
    assert np.array_equal(Store.open(long.store, LabelSampling()).histograms(), counts)


def test_the_fingerprint_names_content_sampling_and_source(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    stores = [
        Store.open(tmp_path / "store", sampling, kinds=(source,))
        for sampling in (*RULES, MaxVoteSampling(spacing_s=25))
        for source in ("spectrogram", "eeg")
    ]
    assert len({store.fingerprint for store in stores}) == len(stores)
    shutil.move(tmp_path / "store", tmp_path / "moved")
    assert Store.open(tmp_path / "moved", RULES[0]).fingerprint == stores[0].fingerprint
    assert len(stores[0].fingerprint) == 12


def test_a_pickled_store_is_opened_again_and_carries_no_arrays(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", LabelSampling(), kinds=("eeg",))
    content = pickle.dumps(store)
    again = pickle.loads(content)
    assert len(content) < 1000
    assert again.fingerprint == store.fingerprint
    assert np.array_equal(again.eeg(3), store.eeg(3))


def test_a_store_is_opened_in_less_than_50_milliseconds(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        Store.open(tmp_path / "store", SpectrogramSampling())
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05


def test_a_window_inside_the_file_is_a_read_only_view(long):
    window = Store.open(long.store, LabelSampling()).spectrogram(0)
    assert not window.flags.owndata
    assert not window.flags.writeable


def test_reading_what_a_sample_does_not_have_says_so(folder, tmp_path):
    folder.eeg(1)
    folder.eeg(2)
    folder.spectrogram(102)
    folder.row(1, None)
    folder.row(2, 102)
    prepare(folder.write_table(), tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", LabelSampling(), kinds=("eeg",))
    assert store.samples["spectrogram_id"].isna().tolist() == [True, False]
    with pytest.raises(DataError, match="sample 1 has no spectrogram"):
        store.spectrogram(0)
    assert store.spectrogram(1).shape == (300, 400)


def test_a_rule_that_leaves_no_sample_says_why(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    with pytest.raises(DataError, match=r"no sample with sampling max_vote.*fewer than 20 votes: 20"):
        Store.open(tmp_path / "store", MaxVoteSampling(min_votes=20))


def test_a_lost_shard_is_named(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    (tmp_path / "store" / "shards" / "spectrogram-0000.f16").unlink()
    with pytest.raises(DataError, match=r"damaged: spectrogram-0000\.f16 has 0 bytes, expected 1920000"):
        Store.open(tmp_path / "store", SpectrogramSampling()).spectrogram(0)
