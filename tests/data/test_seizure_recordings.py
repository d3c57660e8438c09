"""EDF recordings become seizure-type data."""

from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pytest

from hms_search.data.seizure_recordings import fft_samples, write_seizures
from hms_search.data.seizure_types import SeizureTypes
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.errors import DataError

COLUMNS = ["file", "start_s", "end_s", "label", "patient"]


def write_tone(path: Path, hz: float, *, seconds: int = 20, sfreq: int = 250) -> None:
    """Fp1 swings at ``hz`` from 5 s on; nothing else does, but for a little noise."""
    times = np.arange(seconds * sfreq) / sfreq
    eeg = np.random.default_rng(0).normal(scale=0.5, size=(20, len(times)))
    eeg[ELECTRODES.index("Fp1")] += 100 * np.sin(2 * np.pi * hz * times) * (times >= 5)
    limits = (-800.0, 800.0)
    signals = [
        edfio.EdfSignal(signal, sfreq, label=f"EEG {name.upper()}-REF", physical_dimension="uV", physical_range=limits)
        for name, signal in zip(ELECTRODES, eeg, strict=True)
    ]
    edfio.Edf(signals).write(path)


def test_a_tone_lands_in_its_column_of_the_rows_with_its_electrode_and_only_in_its_interval(tmp_path: Path) -> None:
    write_tone(tmp_path / "one.edf", 7)
    lines = [("one.edf", 6.0, 16.0, "FNSZ", "a"), ("one.edf", 0.5, 4.5, "ABSZ", "a")]
    pd.DataFrame(lines, columns=COLUMNS).to_csv(tmp_path / "intervals.csv", index=False)
    assert write_seizures(tmp_path, tmp_path / "intervals.csv", tmp_path / "out") == 2
    found = SeizureTypes.open(tmp_path / "out")
    assert found.samples["label"].tolist() == ["FNSZ", "ABSZ"]
    during, before = (found.recording(row)["fft"] for row in (0, 1))
    assert during.shape == (19, 20, 24)
    assert before.shape == (7, 20, 24)
    loud = during.mean(axis=0) > 3
    assert np.argwhere(loud).tolist() == [[0, 6], [12, 6]]  # Fp1-F7 and Fp1-F3 at 7 Hz
    np.testing.assert_allclose(during[:, 0, 6], np.log10(100 * 125), atol=0.01)
    assert before.max() < 2.5


def test_other_sampling_rates_give_the_same_samples(tmp_path: Path) -> None:
    for name, sfreq in (("slow.edf", 200), ("right.edf", 250), ("fast.edf", 500)):
        write_tone(tmp_path / name, 9, sfreq=sfreq)
    lines = [(name, 8.0, 14.0, "CPSZ", "a") for name in ("slow.edf", "right.edf", "fast.edf")]
    pd.DataFrame(lines, columns=COLUMNS).to_csv(tmp_path / "intervals.csv", index=False)
    write_seizures(tmp_path, tmp_path / "intervals.csv", tmp_path / "out")
    found = SeizureTypes.open(tmp_path / "out")
    slow, right, fast = (found.recording(row)["fft"][:, 0, 8] for row in range(3))
    np.testing.assert_allclose(slow, right, atol=0.01)
    np.testing.assert_allclose(fast, right, atol=0.01)


def test_silence_is_finite() -> None:
    eeg = np.zeros((500, 20))
    assert np.isfinite(fft_samples(eeg)).all()
    eeg[:, 0] = np.sin(np.arange(500) / 9)
    assert np.isfinite(fft_samples(eeg)).all()
    with pytest.raises(ValueError, match="at least 250 times, found 249"):
        fft_samples(eeg[:249])


def test_all_faults_are_named_and_nothing_is_left(tmp_path: Path) -> None:
    def refused(*lines: tuple[object, ...]) -> list[str]:
        pd.DataFrame(lines, columns=COLUMNS).to_csv(tmp_path / "intervals.csv", index=False)
        with pytest.raises(DataError) as caught:
            write_seizures(tmp_path, tmp_path / "intervals.csv", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return str(caught.value).splitlines()[1:]

    write_tone(tmp_path / "one.edf", 7)
    found = refused(("../one.edf", 1, 5, "FNSZ", "a"), ("one.edf", 5, 5.5, "SEIZURE", ""))
    assert [line.split(":")[0] for line in found] == ["line 2", "line 3", "line 3", "line 3"]
    found = refused(("one.edf", 1, 25, "FNSZ", "a"), ("absent.edf", 1, 5, "FNSZ", "a"))
    assert "a seizure ends at 25 s, the recording at 20 s" in found[0]
    assert "absent.edf" in found[1]
    (tmp_path / "intervals.csv").write_text("file,start_s\none.edf,1\n")
    with pytest.raises(DataError, match="expected a CSV table with columns file, start_s, end_s, label, patient"):
        write_seizures(tmp_path, tmp_path / "intervals.csv", tmp_path / "out")
