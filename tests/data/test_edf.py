"""Files of one recording each: what is read is what was written, and a bad file is refused in one line."""

import os
import pickle
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pytest

from hms_search.data.edf import LoadedRecording, read_edf, read_recording, windows
from hms_search.data.hms import read_eeg
from hms_search.eeg.electrodes import ELECTRODES, SCALP
from hms_search.errors import ConfigError, DataError

RANGE_UV = 800.0
STEP_UV = 2 * RANGE_UV / (2**16 - 1)
"""Between two values that 16 bits over this range can tell apart."""
REFERENCED = [f"EEG {name.upper()}-REF" for name in SCALP] + ["ECG EKG-REF"]


def waves(seconds: float, sfreq: float = 200) -> np.ndarray:
    """Sines of 3 to 13 Hz in all electrodes, the same at every sampling rate, ``[n_times, 20]``."""
    times = np.arange(round(seconds * sfreq))[:, None] / sfreq
    hz = 3 + np.arange(20)[None] / 2
    return 100 * np.sin(2 * np.pi * hz * times + np.arange(20)) + 20 * np.sin(np.pi * times / seconds)


def write_edf(
    path: Path,
    eeg: np.ndarray,
    names: Sequence[str] = ELECTRODES,
    *,
    sfreq: float = 200,
    unit: str = "uV",
    per_uv: float = 1.0,
) -> Path:
    limit = RANGE_UV * per_uv
    signals = [
        (edfio.EdfSignal if path.suffix == ".edf" else edfio.BdfSignal)(
            column * per_uv, sfreq, label=name, physical_dimension=unit, physical_range=(-limit, limit)
        )
        for name, column in zip(names, eeg.T, strict=True)
    ]
    (edfio.Edf if path.suffix == ".edf" else edfio.Bdf)(signals).write(path)
    return path


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_an_edf_or_bdf_file_is_read_to_the_precision_it_was_written_with(tmp_path: Path, suffix: str) -> None:
    eeg = waves(12)
    path = write_edf(tmp_path / f"recording{suffix}", eeg)
    found = read_edf(path)
    step = STEP_UV if suffix == ".edf" else 2 * RANGE_UV / (2**24 - 1)
    np.testing.assert_allclose(found, eeg, rtol=1e-6, atol=step)
    recording = read_recording(path)
    assert recording.kind == "eeg"
    assert recording.values.dtype == np.float16
    np.testing.assert_array_equal(recording.values, found.astype(np.float16))
    assert recording.duration_s == 12


def test_channels_are_found_whatever_their_order_case_prefix_and_reference(tmp_path: Path) -> None:
    eeg = waves(10)
    order = np.random.default_rng(0).permutation(20)
    names = [{"T3": "t7", "T4": "T8 ", "T5": "p7", "T6": "P8", "EKG": "ECG"}.get(n, n.swapcase()) for n in ELECTRODES]
    for written in (names, REFERENCED, [f"EEG {name}-A2" for name in SCALP] + ["EKG1"]):
        extra = [*(written[i] for i in order), "Photic", "A1"]
        path = write_edf(tmp_path / "shuffled.edf", np.c_[eeg[:, order], eeg[:, :2]], extra)
        np.testing.assert_allclose(read_edf(path), eeg, rtol=0, atol=STEP_UV)
        channels = read_recording(path).channels
        assert [name.strip() for name in written] == list(channels)


@pytest.mark.parametrize("sfreq", [128, 250, 256, 500, 512])
def test_other_sampling_rates_become_200_hz_without_a_shift(tmp_path: Path, sfreq: int) -> None:
    path = write_edf(tmp_path / "recording.edf", waves(20, sfreq), sfreq=sfreq)
    found = read_edf(path)
    assert found.shape == (4000, 20)
    within = slice(200, -200)  # at the ends a filter has nothing to look at
    np.testing.assert_allclose(found[within], waves(20)[within], rtol=0, atol=0.5)
    assert read_edf(path, sfreq=250.0).shape == (5000, 20)


def test_what_lies_above_the_new_rate_is_filtered_and_not_folded_down(tmp_path: Path) -> None:
    times = np.arange(20 * 500)[:, None] / 500
    eeg = np.repeat(100 * np.sin(2 * np.pi * 170 * times), 20, axis=1)
    found = read_edf(write_edf(tmp_path / "recording.edf", eeg, sfreq=500))
    assert np.abs(found[200:-200]).max() < 1


@pytest.mark.parametrize(("unit", "per_uv"), [("uV", 1.0), ("uv", 1.0), ("mV", 1e-3), ("V", 1e-6), ("nV", 1e3)])
def test_every_unit_becomes_microvolts(tmp_path: Path, unit: str, per_uv: float) -> None:
    path = write_edf(tmp_path / "recording.edf", waves(10), unit=unit, per_uv=per_uv)
    np.testing.assert_allclose(read_edf(path), waves(10), rtol=0, atol=2 * STEP_UV)


def test_an_unknown_unit_and_a_slow_channel_are_named(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "recording.edf", waves(10), unit="")
    with pytest.raises(DataError, match=r"recording\.edf: Fp1 is in '', expected uV, mV or V; F3 is in ''"):
        read_recording(path)
    path = write_edf(tmp_path / "slow.edf", waves(10, 50), sfreq=50)
    with pytest.raises(DataError, match=r"Fp1 has 50 Hz, expected 100 to 50000 Hz; F3 has 50 Hz"):
        read_recording(path)


def test_all_missing_electrodes_are_listed_at_once_but_the_ekg_may_be_missing(tmp_path: Path) -> None:
    kept = [i for i, name in enumerate(ELECTRODES) if name not in ("Fp1", "T5", "Cz")]
    path = write_edf(tmp_path / "few.edf", waves(10)[:, kept], [ELECTRODES[i] for i in kept])
    with pytest.raises(DataError, match=r"few\.edf: .*missing Fp1, T5, Cz; found F3, C3"):
        read_recording(path)
    recording = read_recording(write_edf(tmp_path / "no-ekg.edf", waves(10)[:, :19], SCALP))
    assert np.isnan(recording.values[:, 19]).all()
    assert np.isfinite(recording.values[:, :19]).all()
    assert recording.channels[19] == ""


def test_what_is_wrong_with_other_channels_does_not_matter(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "photic.edf", np.c_[waves(10), waves(10)[:, 0]], [*ELECTRODES, "Photic"])
    for place, text in ((21 * (16 + 80) + 256 + 20 * 8, b"?       "), (256 + 21 * 112 + 20 * 8, b"-800    ")):
        broken(path, place, text)
    np.testing.assert_allclose(read_edf(path), waves(10), rtol=0, atol=STEP_UV)


def test_differences_of_electrodes_twins_and_mixed_references_are_no_electrodes(tmp_path: Path) -> None:
    eeg = waves(10)
    bipolar = ["Fp1-F7", *ELECTRODES[1:]]
    with pytest.raises(DataError, match="missing Fp1"):
        read_recording(write_edf(tmp_path / "bipolar.edf", eeg, bipolar))
    twins = [*ELECTRODES, "T7"]
    with pytest.raises(DataError, match="several channels are T3: T3, T7"):
        read_recording(write_edf(tmp_path / "twins.edf", np.c_[eeg, eeg[:, 0]], twins))
    ears = [f"{name}-A{1 + (name[-1] in '2468')}" for name in ELECTRODES]
    with pytest.raises(DataError, match="different references: A1, A2"):
        read_recording(write_edf(tmp_path / "ears.edf", eeg, ears))


def test_an_ekg_of_another_rate_is_read_beside_the_others(tmp_path: Path) -> None:
    fast = waves(10, 400)[:, 19]
    signals = [
        edfio.EdfSignal(column, 200, label=name, physical_dimension="uV", physical_range=(-RANGE_UV, RANGE_UV))
        for name, column in zip(SCALP, waves(10).T, strict=False)
    ]
    signals.append(
        edfio.EdfSignal(fast, 400, label="EKG", physical_dimension="uV", physical_range=(-RANGE_UV, RANGE_UV))
    )
    edfio.Edf(signals).write(tmp_path / "recording.edf")
    np.testing.assert_allclose(read_edf(tmp_path / "recording.edf")[200:-200], waves(10)[200:-200], atol=0.5)


def test_the_start_is_that_of_the_file_and_annotations_do_no_harm(tmp_path: Path) -> None:
    signals = [
        edfio.EdfSignal(column, 200, label=name, physical_dimension="uV")
        for name, column in zip(ELECTRODES, waves(10).T, strict=True)
    ]
    recording = edfio.Recording(startdate=datetime(2021, 5, 4).date())
    notes = [edfio.EdfAnnotation(3, 2, "Krampf – é"), edfio.EdfAnnotation(99, None, "after the end")]
    edfio.Edf(signals, recording=recording, starttime=datetime(2021, 5, 4, 13, 2, 1).time(), annotations=notes).write(
        tmp_path / "recording.edf"
    )
    assert read_recording(tmp_path / "recording.edf").start == datetime(2021, 5, 4, 13, 2, 1, tzinfo=UTC)


def broken(path: Path, place: int, text: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[place : place + len(text)] = text
    path.write_bytes(content)
    return path


N = 20
BROKEN = {
    "truncated": (None, rb"", "it is truncated: expected"),
    "an empty file": (0, rb"", "found none of these"),
    "records that are not there": (236, b"99999999", "it is truncated"),
    "no number of records": (236, b"many    ", "invalid literal"),
    "an endless recording": (236, b"-1      ", "it says -1"),
    "records without length": (244, b"0       ", "the length of a record"),
    "another header's length": (184, b"256     ", "expected a header of 256"),
    "no signals": (252, b"0   ", "expected a header"),
    "gaps": (192, b"EDF+D", "not contiguous"),
    "samples that are not there": (256 + N * 216, b"99999999", "it is truncated"),
    "no physical range": (256 + N * 104, b"800     ", r"Fp1 has the ranges \("),
    "an endless range": (256 + N * 112, b"inf     ", r"Fp1 has the ranges \(-800.0, inf\)"),
    "a range beyond all measure": (256 + N * 112, b"1e300   ", r"Fp1 has the ranges \("),
    "a line break in a name": (256, b"F\np1", None),
    "a month that is not there": (168, b"99.99.99", None),
    "no text": (8, bytes(range(128, 208)), None),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_damaged_file_is_one_clear_error_or_read_without_harm(tmp_path: Path, fault: str) -> None:
    place, text, message = BROKEN[fault]
    path = write_edf(tmp_path / "recording.edf", waves(10))
    if place is None:
        os.truncate(path, path.stat().st_size - 100)
    elif not text:
        os.truncate(path, 0)
    else:
        broken(path, place, text)
    if message is None:
        np.testing.assert_allclose(read_edf(path), waves(10), rtol=0, atol=STEP_UV)
        return
    with pytest.raises(DataError, match=message) as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("recording.edf: ")


@pytest.mark.parametrize("seed", range(30))
def test_a_header_of_random_bytes_is_read_or_refused_but_never_anything_else(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = write_edf(tmp_path / "recording.edf", waves(10))
    for place in rng.integers(8, 256 * (N + 1), 5):
        broken(path, int(place), bytes([rng.integers(256) if seed % 2 else rng.choice(list(b" 0123456789.-"))]))
    try:
        read_recording(path)
    except DataError as error:
        reason = str(error)
    else:
        reason = ""
    assert reason.isprintable()


def test_an_array_is_read_and_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    eeg = waves(12).astype(np.float32)
    np.save(tmp_path / "array.npy", eeg)
    np.testing.assert_array_equal(read_recording(tmp_path / "array.npy").values, eeg.astype(np.float16))

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    objects = np.empty((10, 20), dtype=object)
    objects[:] = Bomb()
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "archive.npz", eeg=eeg)
    for name in ("objects.npy", "pickle.npy", "archive.npz"):
        with pytest.raises(DataError, match=name):
            read_recording(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "array",
    [np.zeros((100, 19)), np.zeros((0, 20)), np.zeros(20), np.zeros((9, 20), dtype="U3"), np.zeros((9, 20), complex)],
)
def test_an_array_of_another_shape_or_type_is_refused_with_it(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "array.npy", array)
    with pytest.raises(DataError, match=r"expected microvolts at 200 Hz \[n_times, 20\], found (\[|values of type)"):
        read_recording(tmp_path / "array.npy")


def test_an_array_that_claims_more_than_its_file_holds_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros((100, 20)))
    content = (tmp_path / "array.npy").read_bytes().replace(b"(100, 20), }        ", b"(100000000, 20), }  ")
    (tmp_path / "array.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"found 16000 bytes of the 16000000000 that it claims|more than"):
        read_recording(tmp_path / "array.npy")


def test_a_file_that_is_nothing_we_know_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.edf").write_text("this is no EEG")
    for name in ("notes.edf", "missing.edf", "."):
        with pytest.raises(DataError):
            read_recording(tmp_path / name)


def test_without_mne_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_edf(tmp_path / "recording.edf", waves(10))
    monkeypatch.setitem(sys.modules, "mne.io", None)
    with pytest.raises(ConfigError, match=r"need the package mne, found none; pip install \"hms-search\[edf\]\""):
        read_recording(path)


def test_windows_reach_from_the_beginning_to_the_end() -> None:
    eeg = np.arange(123 * 200, dtype=np.float16)[:, None].repeat(20, axis=1)
    cut = list(windows(LoadedRecording("eeg", eeg, ELECTRODES), 20))
    assert [start for start, _ in cut] == [0, 20, 40, 60, 73]
    for start, window in cut:
        np.testing.assert_array_equal(window, eeg[round(200 * start) :][:10_000])


def test_a_short_recording_is_one_window_with_gaps_around_it_and_a_shorter_one_refused() -> None:
    eeg = waves(10).astype(np.float16)
    ((start, window),) = windows(LoadedRecording("eeg", eeg, ELECTRODES), 10)
    assert start == -20
    np.testing.assert_array_equal(window[4000:6000], eeg)
    assert np.isnan(window[:4000]).all()
    assert np.isnan(window[6000:]).all()
    with pytest.raises(DataError, match=r"10 s or more, found 9\.995 s"):
        list(windows(LoadedRecording("eeg", eeg[1:], ELECTRODES), 10))
    with pytest.raises(DataError, match="found a spectrogram"):
        list(windows(LoadedRecording("spectrogram", np.zeros((300, 400), np.float16), ()), 10))


@pytest.mark.data
@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_a_real_recording_comes_back_from_its_file_as_it_is_in_its_parquet(
    shared_data: Path, tmp_path: Path, suffix: str
) -> None:
    parquet = shared_data / "iiic" / "train_eegs" / "900000001.parquet"
    eeg = read_eeg(parquet)
    limit = float(np.ceil(np.nanmax(np.abs(eeg))))
    kind = (edfio.EdfSignal, edfio.Edf) if suffix == ".edf" else (edfio.BdfSignal, edfio.Bdf)
    signals = [
        kind[0](column.astype(float), 200, label=name, physical_dimension="uV", physical_range=(-limit, limit))
        for name, column in zip(REFERENCED, eeg.T, strict=True)
    ]
    kind[1](signals[::-1]).write(tmp_path / f"real{suffix}")
    step = 2 * limit / (2 ** (16 if suffix == ".edf" else 24) - 1)
    np.testing.assert_allclose(read_edf(tmp_path / f"real{suffix}"), eeg, rtol=1e-6, atol=step)
    expected, found = read_recording(parquet), read_recording(tmp_path / f"real{suffix}")
    assert found.duration_s == expected.duration_s
    half_step = np.spacing(np.abs(expected.values)).astype(np.float32)
    assert (np.abs(found.values.astype(np.float32) - expected.values) <= step + half_step).all()


@pytest.mark.data
def test_a_real_spectrogram_is_told_from_an_eeg(shared_data: Path) -> None:
    path = next((shared_data / "iiic" / "train_spectrograms").glob("*.parquet"))
    recording = read_recording(path)
    assert recording.kind == "spectrogram"
    assert recording.values.shape == (300, 400)
    assert recording.duration_s == 600
    assert len(pd.read_parquet(path)) == 300
