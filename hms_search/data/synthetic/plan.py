"""The plan: which recordings, windows, votes and gaps a patient has, before any signal is made.

A *session* is one spectrogram file and all EEG files cut from it. A window of 50 s of EEG sits in the middle of its
10 minutes of spectrogram, and its votes speak of the central 10 s.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hms_search.data.synthetic.annotators import HIGH, LOW, Population, draw_opinion, draw_total, draw_votes
from hms_search.data.synthetic.patients import Patient

EEG_S, SPECTROGRAM_S = 50, 600
LEAD_S = (SPECTROGRAM_S - EEG_S) // 2
"""Seconds of spectrogram before the EEG window whose centre it shares."""
_HIGH_SHARE = 5939 / 17089
"""HMS: share of eeg_ids labelled by at least 10 experts."""
_EEGS_PER_SESSION = (0.66, 0.21, 0.13)
_ROWS_PER_EEG = (0.37, 0.115, 0.085, 0.077, 0.07, 0.06, 0.05, 0.045, 0.04, 0.035, 0.03, 0.023)
"""HMS has 37 % of eeg_ids with one row, then 11.5, 8.4 and 7.7 %, median 3; its tail to 743 is cut at 12 here."""
_NEW_OPINION = 0.05
"""Chance that a row's votes are not those of the row before (HMS: 20,184 different vote vectors in 17,089 eeg_ids)."""


@dataclass(frozen=True)
class Window:
    """One row of train.csv: where the window starts in its EEG file, and its votes."""

    offset_s: int
    votes: tuple[int, ...]


@dataclass(frozen=True)
class Recording:
    """One EEG file; ``start_s`` counts from the start of the session's spectrogram."""

    number: int
    start_s: int
    length_s: int
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Episode:
    """A stretch of session on which experts hold one opinion; ``centre_s`` is the middle of its labelled seconds."""

    start_s: float
    stop_s: float
    centre_s: float
    opinion: Float[np.ndarray, " 6"]


@dataclass(frozen=True)
class Gap:
    """Missing signal on some scalp electrodes (indices) from ``start_s`` to ``stop_s`` of the session."""

    start_s: float
    stop_s: float
    electrodes: tuple[int, ...]


@dataclass(frozen=True)
class Session:
    """One spectrogram file, ``length_s`` long, and the EEG files inside."""

    number: int
    length_s: int
    recordings: tuple[Recording, ...]
    episodes: tuple[Episode, ...]
    gaps: tuple[Gap, ...]


def plan_sessions(
    patient: Patient, panel: Float[np.ndarray, "raters 6"], rng: np.random.Generator
) -> tuple[Session, ...]:
    """Return the sessions of a patient, about three of them with four or five EEG files; at most 8 sessions."""
    count = min(1 + int(rng.geometric(0.4)), 8) if rng.random() < 0.8 else 1
    return tuple(plan_session(number, patient, panel, rng) for number in range(count))


def plan_session(
    number: int,
    patient: Patient,
    panel: Float[np.ndarray, "raters 6"],
    rng: np.random.Generator,
    *,
    plain: bool = False,
) -> Session:
    """Return one session; ``plain`` makes it one window in exactly 50 s and 10 minutes, as the test files are."""
    count = 1 if plain else 1 + int(rng.choice(3, p=_EEGS_PER_SESSION))
    start_s, recordings, marks = LEAD_S, [], []
    first_kind = None
    for eeg in range(count):
        population = HIGH if rng.random() < _HIGH_SHARE else LOW
        kind = _draw_kind(patient, population, rng)
        if first_kind is not None and rng.random() < 0.5 and first_kind[0] is population:
            kind = first_kind[1]
        first_kind = (population, kind)
        offsets = [0] if plain else _draw_offsets(rng)
        windows, opinions = _draw_windows(offsets, (population, kind), patient, panel, rng)
        recordings.append(Recording(eeg, start_s, EEG_S + offsets[-1], windows))
        marks += [(start_s + EEG_S // 2 + offset, opinion) for offset, opinion in zip(offsets, opinions, strict=True)]
        start_s += offsets[-1] + 2 * int(rng.integers(10, 70))
    last = recordings[-1]
    length_s = last.start_s + last.length_s - EEG_S - LEAD_S + SPECTROGRAM_S
    episodes = _join_episodes(marks, length_s, rng)
    return Session(number, length_s, tuple(recordings), episodes, _draw_gaps(recordings, length_s, rng))


def _draw_kind(patient: Patient, population: Population, rng: np.random.Generator) -> int:
    return int(rng.choice(6, p=patient.kinds[population.stratum]))


def _draw_offsets(rng: np.random.Generator) -> list[int]:
    """Even seconds, the first 0."""
    rows = 1 + int(rng.choice(len(_ROWS_PER_EEG), p=_ROWS_PER_EEG))
    return [0, *np.cumsum(2 * rng.integers(1, 7, rows - 1)).tolist()]


def _draw_windows(
    offsets: list[int],
    first: tuple[Population, int],
    patient: Patient,
    panel: Float[np.ndarray, "raters 6"],
    rng: np.random.Generator,
) -> tuple[tuple[Window, ...], list[Float[np.ndarray, " 6"]]]:
    population, kind = first
    windows: list[Window] = []
    opinions: list[Float[np.ndarray, " 6"]] = []
    for offset in offsets:
        if windows and rng.random() >= _NEW_OPINION:
            windows.append(Window(offset, windows[-1].votes))
            opinions.append(opinions[-1])
            continue
        if windows:
            kind = _draw_kind(patient, population, rng)
        opinions.append(draw_opinion(population, kind, rng))
        votes = draw_votes(opinions[-1], draw_total(population, rng), panel, rng)
        windows.append(Window(offset, tuple(votes.tolist())))
    return tuple(windows), opinions


def _join_episodes(
    marks: list[tuple[int, Float[np.ndarray, " 6"]]], length_s: int, rng: np.random.Generator
) -> tuple[Episode, ...]:
    """One episode per run of equal opinions, reaching a random way out but never past halfway to the next one."""
    runs: list[tuple[int, int, Float[np.ndarray, " 6"]]] = []
    for centre, opinion in marks:
        if runs and runs[-1][2] is opinion:
            runs[-1] = (runs[-1][0], centre, opinion)
        else:
            runs.append((centre, centre, opinion))
    episodes = []
    for index, (first, last, opinion) in enumerate(runs):
        before = (runs[index - 1][1] + first) / 2 if index else 0.0
        after = (last + runs[index + 1][0]) / 2 if index + 1 < len(runs) else float(length_s)
        reach = np.clip(rng.lognormal(4.2, 0.9, 2), 10, 600)
        start, stop = max(before, first - reach[0]), min(after, last + reach[1])
        episodes.append(Episode(float(start), float(stop), (first + last) / 2, opinion))
    return tuple(episodes)


def _draw_gaps(recordings: list[Recording], length_s: int, rng: np.random.Generator) -> tuple[Gap, ...]:
    """HMS: 8.7 % of spectrogram files and 4.8 % of EEG files contain NaN, as stretches or as whole channels."""
    everywhere = tuple(range(19))
    gaps = []
    if rng.random() < 0.06:
        start = rng.uniform(0, length_s)
        gaps.append(Gap(start, start + rng.uniform(4, 120), everywhere))
    for recording in recordings:
        chance = rng.random()
        if chance < 0.02:
            start = recording.start_s + rng.uniform(0, recording.length_s - 4)
            gaps.append(Gap(start, start + rng.uniform(1, 15), everywhere))
        elif chance < 0.04:
            bad = rng.choice(19, int(rng.integers(1, 4)), replace=False)
            stop = recording.start_s + recording.length_s
            gaps.append(Gap(recording.start_s, stop, tuple(bad.tolist())))
    return tuple(gaps)
