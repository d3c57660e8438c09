from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import welch

from hms_search.data.labels import CLASSES
from hms_search.data.synthetic.artefacts import add_artefacts, cut_gaps, make_ekg
from hms_search.data.synthetic.background import SFREQ, make_background
from hms_search.data.synthetic.head import DERIVATIONS, SCALP, field_of, lateral_place, mirror
from hms_search.data.synthetic.patients import Patient, draw_patient
from hms_search.data.synthetic.patterns import draw_episode
from hms_search.data.synthetic.plan import Episode, Gap
from hms_search.data.synthetic.spectrogram import column_names, multitaper

QUIET = 62 * SFREQ
LEFT = [SCALP.index(name) for name in ("Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1")]
RIGHT = [SCALP.index(name) for name in ("Fp2", "F4", "C4", "P4", "F8", "T4", "T6", "O2")]


def a_patient(seed: int = 0) -> Patient:
    return draw_patient(np.random.default_rng(seed))


def episode_of(name: str, patient: Patient, seed: int, length_s: int = 200) -> np.ndarray:
    opinion = np.zeros(6)
    opinion[CLASSES.index(name)] = 1.0
    scalp = np.zeros((19, length_s * SFREQ), dtype=np.float32)
    episode = Episode(0.0, float(length_s), length_s / 2, opinion)
    draw_episode(scalp, episode, patient, 0.0, np.random.default_rng(seed))
    return scalp


def peak_hz(wave: np.ndarray) -> float:
    hz, power = welch(wave, SFREQ, nperseg=10 * SFREQ)
    return float(hz[np.argmax(power)])


def test_left_and_right_electrodes_mirror_each_other() -> None:
    place = lateral_place(np.random.default_rng(0), left=True)
    np.testing.assert_allclose(field_of(place, 30)[LEFT], field_of(mirror(place), 30)[RIGHT], atol=1e-12)
    assert place[0] < 0


def test_the_four_regions_are_the_chains_of_the_double_banana() -> None:
    names = [[f"{SCALP[a]}-{SCALP[b]}" for a, b in chain] for chain in DERIVATIONS]
    assert names[0] == ["Fp1-F7", "F7-T3", "T3-T5", "T5-O1"]
    assert names[1] == ["Fp2-F8", "F8-T4", "T4-T6", "T6-O2"]
    assert names[2] == ["Fp1-F3", "F3-C3", "C3-P3", "P3-O1"]
    assert names[3] == ["Fp2-F4", "F4-C4", "C4-P4", "P4-O2"]


@pytest.mark.parametrize("bin_index", [3, 20, 51, 102])
def test_a_pure_tone_lands_in_its_bin_of_its_region(bin_index: int) -> None:
    signal = np.zeros((19, QUIET), dtype=np.float32)
    hz = bin_index * SFREQ / 1024
    signal[SCALP.index("T4")] = 10 * np.sin(2 * np.pi * hz * np.arange(QUIET) / SFREQ)
    power = multitaper(signal).reshape(30, 4, 100)
    assert abs(int(power[15, 1].argmax()) - (bin_index - 3)) <= 1, "within the half-bandwidth of the tapers"
    assert power[15, 1].max() > 1e6 * power[15, [0, 2, 3]].max()


def test_white_noise_has_the_power_density_it_should() -> None:
    noise = np.random.default_rng(0).normal(0, 8, (19, 302 * SFREQ)).astype(np.float32)
    power = multitaper(noise)
    assert power.mean() == pytest.approx(2 * 8**2 / SFREQ, rel=0.03), "a difference of two, one side of the spectrum"


def test_a_frame_is_missing_only_where_no_derivation_of_the_region_is_left() -> None:
    signal = np.random.default_rng(0).normal(0, 8, (19, QUIET)).astype(np.float32)
    signal[SCALP.index("T3")] = np.nan
    cut_gaps(signal, (Gap(20.0, 26.0, tuple(range(19))),), -1.0)
    missing = np.isnan(multitaper(signal)).reshape(30, 4, 100)
    assert (missing == missing[:, :1, :1]).all(), "all regions lose the same frames, T3 alone loses none"
    lost = np.flatnonzero(missing[:, 0, 0])
    np.testing.assert_array_equal(lost, [9, 10, 11, 12, 13])


def test_a_flat_head_shows_the_floor_of_the_real_files() -> None:
    power = multitaper(np.zeros((19, QUIET), dtype=np.float32))
    np.testing.assert_allclose(power, 2.220446e-16, rtol=1e-6)


def test_background_power_falls_with_frequency_and_neighbours_resemble_each_other() -> None:
    slopes, near, far = [], [], []
    for seed in range(12):
        patient = replace(a_patient(seed), suppression=0.0, reference_uv=0.0)
        scalp = make_background(patient, 120 * SFREQ, np.random.default_rng(seed))
        hz, power = welch(scalp, SFREQ, nperseg=4 * SFREQ)
        band = (hz >= 1) & (hz <= 25)
        slopes.append(np.polyfit(np.log(hz[band]), np.log(power[:, band]).mean(axis=0), 1)[0])
        correlation = np.corrcoef(scalp)
        near.append(correlation[SCALP.index("F3"), SCALP.index("Fz")])
        far.append(correlation[SCALP.index("F3"), SCALP.index("O2")])
    assert -3.0 < np.mean(slopes) < -1.0
    assert np.mean(near) > np.mean(far) + 0.2


def test_a_patient_sounds_the_same_in_two_recordings_and_unlike_another() -> None:
    def spectra(seed: int) -> tuple[np.ndarray, np.ndarray]:
        patient = a_patient(seed)
        first, second = (make_background(patient, 122 * SFREQ, np.random.default_rng([seed, n])) for n in (0, 1))
        return np.log(multitaper(first)).mean(axis=0), np.log(multitaper(second)).mean(axis=0)

    pairs = [spectra(seed) for seed in range(10)]
    own = np.median([np.abs(first - second).mean() for first, second in pairs])
    others = np.median([np.abs(pairs[i][0] - pairs[j][1]).mean() for i in range(10) for j in range(10) if i != j])
    assert own < 0.5 * others


@pytest.mark.parametrize("name", ["lpd", "lrda"])
def test_lateralised_patterns_are_stronger_on_the_side_of_the_focus(name: str) -> None:
    for seed in range(4):
        patient = a_patient(seed)
        power = (episode_of(name, patient, seed) ** 2).mean(axis=1)
        left_is_stronger = power[LEFT].sum() > power[RIGHT].sum()
        assert left_is_stronger == (patient.focus[0] < 0)


@pytest.mark.parametrize("name", ["gpd", "grda"])
def test_generalised_patterns_are_symmetric(name: str) -> None:
    power = (episode_of(name, a_patient(), 1) ** 2).mean(axis=1)
    assert power[LEFT].sum() == pytest.approx(power[RIGHT].sum(), rel=0.1)


@pytest.mark.parametrize(("name", "least", "most"), [("lrda", 0.8, 3.5), ("grda", 0.8, 3.5)])
def test_rhythmic_delta_has_its_frequency(name: str, least: float, most: float) -> None:
    for seed in range(4):
        wave = episode_of(name, a_patient(seed), seed)
        assert least <= peak_hz(wave[np.argmax(wave.std(axis=1))]) <= most


@pytest.mark.parametrize("name", ["lpd", "gpd"])
def test_periodic_discharges_are_sharp_and_come_at_half_to_two_per_second(name: str) -> None:
    for seed in range(4):
        scalp = episode_of(name, a_patient(seed), seed)
        wave = scalp[np.argmax(scalp.std(axis=1))]
        kurtosis = ((wave - wave.mean()) ** 4).mean() / wave.var() ** 2
        assert kurtosis > 4, "a sine has 1.5, Gaussian noise 3"
        troughs = np.flatnonzero((wave[1:-1] < wave[:-2]) & (wave[1:-1] <= wave[2:]) & (wave[1:-1] < -0.4 * wave.std()))
        gaps = np.diff(troughs[np.insert(np.diff(troughs) > 0.25 * SFREQ, 0, True)]) / SFREQ
        assert 0.4 <= np.median(gaps) <= 2.2


def test_seizures_slow_down_grow_and_spread() -> None:
    slower, larger, wider = [], [], []
    for seed in range(12):
        scalp = episode_of("seizure", a_patient(seed), seed)
        strongest = scalp[np.argmax(scalp.std(axis=1))]
        on = np.flatnonzero(np.abs(strongest) > 1e-3)
        first, second = np.array_split(np.arange(on[0], on[-1]), 2)
        slower.append(peak_hz(strongest[second]) <= peak_hz(strongest[first]))
        larger.append(strongest[second].std() > strongest[first].std())
        extents = [(scalp[:, half].std(axis=1) / scalp[:, half].std(axis=1).max()).sum() for half in (first, second)]
        wider.append(extents[1] > extents[0])
    assert np.mean(slower) >= 0.75
    assert np.mean(larger) >= 0.75
    assert np.mean(wider) >= 0.65


def test_what_more_experts_see_stands_out_more() -> None:
    def strength(share: float) -> float:
        opinion = np.zeros(6)
        opinion[CLASSES.index("gpd")], opinion[CLASSES.index("other")] = share, 1 - share
        sizes = []
        for seed in range(20):
            scalp = np.zeros((19, 40 * SFREQ), dtype=np.float32)
            draw_episode(scalp, Episode(0.0, 40.0, 20.0, opinion), a_patient(), 0.0, np.random.default_rng(seed))
            sizes.append(float(scalp.std()))
        return float(np.mean(sizes))

    assert strength(0.0) < 0.2 * strength(0.5) < 0.2 * strength(1.0)


def test_artefacts_and_ekg_are_finite_and_leave_a_recording_of_the_same_size() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scalp = np.zeros((19, 602 * SFREQ), dtype=np.float32)
        add_artefacts(scalp, a_patient(seed), rng)
        ekg = make_ekg(a_patient(seed), 602 * SFREQ, rng)
        assert scalp.dtype == ekg.dtype == np.float32
        assert np.isfinite(scalp).all()
        assert np.isfinite(ekg).all()
        assert 1 < ekg.std() < 20_000


@pytest.mark.data
def test_spectrogram_columns_are_named_as_in_the_real_files(shared_data: Path) -> None:
    path = next((shared_data / "iiic" / "train_spectrograms").glob("*.parquet"))
    assert ["time", *column_names()] == list(pd.read_parquet(path).columns)
