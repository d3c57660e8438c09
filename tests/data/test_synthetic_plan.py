from itertools import pairwise

import numpy as np
import pytest

from hms_search.data.synthetic.annotators import draw_panel
from hms_search.data.synthetic.patients import draw_patient
from hms_search.data.synthetic.plan import EEG_S, LEAD_S, SPECTROGRAM_S, Session, plan_session, plan_sessions


@pytest.fixture(scope="module")
def plans() -> list[tuple[Session, ...]]:
    panel = draw_panel(np.random.default_rng(0))
    plans = []
    for number in range(700):
        rng = np.random.default_rng([1, number])
        plans.append(plan_sessions(draw_patient(rng), panel, rng))
    return plans


@pytest.fixture(scope="module")
def sessions(plans: list[tuple[Session, ...]]) -> list[Session]:
    return [session for plan in plans for session in plan]


def test_every_window_lies_inside_its_files_at_even_seconds(sessions: list[Session]) -> None:
    for session in sessions:
        for recording in session.recordings:
            offsets = [window.offset_s for window in recording.windows]
            assert offsets[0] == 0
            assert all(offset % 2 == 0 for offset in offsets)
            assert offsets == sorted(set(offsets))
            assert recording.length_s >= EEG_S
            assert offsets[-1] + EEG_S == recording.length_s
            for offset in offsets:
                begin = recording.start_s + offset - LEAD_S
                assert begin >= 0
                assert begin % 2 == 0
                assert begin + SPECTROGRAM_S <= session.length_s


def test_the_eeg_is_centred_in_its_ten_minutes() -> None:
    assert LEAD_S + EEG_S / 2 == SPECTROGRAM_S / 2


def test_labelled_seconds_lie_in_an_episode_and_episodes_do_not_overlap(sessions: list[Session]) -> None:
    for session in sessions:
        spans = [(episode.start_s, episode.stop_s) for episode in session.episodes]
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        for recording in session.recordings:
            for window in recording.windows:
                centre = recording.start_s + window.offset_s + EEG_S / 2
                assert any(start <= centre <= stop for start, stop in spans)


def test_rows_per_file_and_files_per_spectrogram_are_like_the_competitions(sessions: list[Session]) -> None:
    recordings = [recording for session in sessions for recording in session.recordings]
    rows = np.array([len(recording.windows) for recording in recordings])
    assert (rows == 1).mean() == pytest.approx(0.37, abs=0.03)
    assert np.median(rows) == 3
    assert len(recordings) / len(sessions) == pytest.approx(17089 / 11138, abs=0.1)
    several = [len({np.argmax(window.votes) for window in r.windows}) > 1 for r in recordings]
    assert 0.02 < np.mean(several) < 0.12, "some files hold contradictory labels (HMS: 4.6 %)"


def test_both_vote_populations_occur_in_their_shares(sessions: list[Session]) -> None:
    totals = np.array([sum(r.windows[0].votes) for session in sessions for r in session.recordings])
    assert not np.isin(totals, (8, 9)).any()
    assert (totals >= 10).mean() == pytest.approx(5939 / 17089, abs=0.03)


def test_labels_repeat_within_a_patient(plans: list[tuple[Session, ...]]) -> None:
    rng = np.random.default_rng(0)
    same, other = [], []
    consensus = [[int(np.argmax(s.recordings[0].windows[0].votes)) for s in plan] for plan in plans]
    everyone = np.concatenate(consensus)
    for labels in consensus:
        if len(labels) > 1:
            same.append(labels[0] == labels[1])
            other.append(labels[0] == rng.choice(everyone))
    assert np.mean(same) > np.mean(other) + 0.1


def test_missing_signal_is_as_frequent_as_in_the_competition(sessions: list[Session]) -> None:
    everywhere = [any(len(gap.electrodes) == 19 for gap in session.gaps) for session in sessions]
    assert np.mean(everywhere) == pytest.approx(0.087, abs=0.02)
    eegs = [
        any(gap.start_s < r.start_s + r.length_s and gap.stop_s > r.start_s for gap in session.gaps)
        for session in sessions
        for r in session.recordings
    ]
    assert np.mean(eegs) == pytest.approx(0.048, abs=0.015)


def test_a_plain_session_is_one_window_of_exactly_fifty_seconds_and_ten_minutes() -> None:
    rng = np.random.default_rng(0)
    session = plan_session(0, draw_patient(rng), draw_panel(rng), rng, plain=True)
    assert session.length_s == SPECTROGRAM_S
    assert [recording.length_s for recording in session.recordings] == [EEG_S]
    assert len(session.recordings[0].windows) == 1
