"""The synthetic task: learnable from the spectrogram, far from solved, and flattered by a patient leak."""

import numpy as np
import pytest
from scipy.special import rel_entr
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hms_search.data.labels import targets_of
from hms_search.data.synthetic.annotators import draw_panel
from hms_search.data.synthetic.patients import draw_patient
from hms_search.data.synthetic.plan import LEAD_S, plan_sessions
from hms_search.data.synthetic.render import render

N_PATIENTS = 45
BANDS = (0, 2, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 100)


@pytest.fixture(scope="module")
def windows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, targets and patients: band means of log power, of the 10 minutes and of their middle 32 s."""
    panel = draw_panel(np.random.default_rng(0))
    features, votes, patients = [], [], []
    for number in range(N_PATIENTS):
        rng = np.random.default_rng([7, number])
        patient = draw_patient(rng)
        for session in plan_sessions(patient, panel, rng):
            power = render(session, patient, rng).spectrogram.reshape(-1, 4, 100)
            log_power = np.log(np.nan_to_num(power, nan=np.exp(-2.0)))
            bands = np.add.reduceat(log_power, BANDS[:-1], axis=2) / np.diff(BANDS)
            for recording in session.recordings:
                first = (recording.start_s - LEAD_S) // 2
                window = bands[first : first + 300]
                whole, middle = window.mean(axis=0).ravel(), window[142:158].mean(axis=0).ravel()
                features.append(np.concatenate([whole, middle, middle - whole]))
                votes.append(recording.windows[0].votes)
                patients.append(number)
    return np.array(features), targets_of(np.array(votes)), np.array(patients)


def divergence(targets: np.ndarray, predicted: np.ndarray) -> float:
    return float(rel_entr(targets, predicted).sum(axis=1).mean())


def score(windows: tuple[np.ndarray, np.ndarray, np.ndarray], model: BaseEstimator, *, grouped: bool) -> float:
    """Mean KL of out-of-fold predictions, softened by the mean label."""
    features, targets, patients = windows
    splitter = GroupKFold(5) if grouped else KFold(5, shuffle=True, random_state=0)
    predicted = np.empty_like(targets)
    for train, test in splitter.split(features, targets, patients if grouped else None):
        model.fit(features[train], targets[train])
        predicted[test] = 0.8 * model.predict(features[test]) + 0.2 * targets[train].mean(axis=0)
    return divergence(targets, predicted)


def neighbours() -> BaseEstimator:
    near = KNeighborsRegressor(8, weights=lambda distance: (distance + 1e-6) ** -3)
    return make_pipeline(StandardScaler(), near)


def forest() -> BaseEstimator:
    return RandomForestRegressor(100, min_samples_leaf=4, max_features=0.3, random_state=0)


def test_a_patient_leak_flatters_the_score(windows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    leaking = score(windows, neighbours(), grouped=False)
    honest = score(windows, neighbours(), grouped=True)
    assert leaking < honest - 0.1, f"random folds {leaking:.3f}, patient-grouped folds {honest:.3f}"


def test_the_classes_show_in_the_spectrogram_yet_are_far_from_solved(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    _, targets, _ = windows
    prior = divergence(targets, np.broadcast_to(targets.mean(axis=0), targets.shape))
    honest = score(windows, forest(), grouped=True)
    assert 0.5 < honest < prior - 0.03, f"KL {honest:.3f} for new patients, {prior:.3f} for the mean label"
