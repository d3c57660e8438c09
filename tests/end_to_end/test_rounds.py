"""A search in rounds: real processes, one killed inside a round, and what can be done with a round afterwards."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from command_line import CommandLine, wait_for
from stored_trials import stored_trials

from hms_search.search import coordinator, session
from hms_search.search.events import Event, Finished
from hms_search.search.outcomes import CARRIED_KEY, place_of
from hms_search.search.places import Places
from hms_search.search.storage import existing_storage
from hms_search.search.study import read_study
from hms_search.search.study_attributes import CONFIG_KEY

RUN = ("run", "small.yaml", "--data", "recordings")


def rounds(count: int) -> tuple[str, ...]:
    return (*RUN, "--set", f"rounds={{count: {count}, trials: 6, narrow: {{min_trials: 4, alpha: 0.99}}}}")


def storage_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlruns' / 'optuna.db'}"


def study_of(folder: Path, name: str) -> tuple[list[optuna.trial.FrozenTrial], dict[str, Any]]:
    with existing_storage(storage_of(folder)) as storage:
        study = optuna.load_study(study_name=name, storage=storage)
        return study.trials, study.user_attrs


def searched(folder: Path, name: str) -> tuple[dict[str, Any], dict[int, tuple[dict[str, Any], float | None]]]:
    """Return the space of a round, and what was found at each place of it."""
    trials, attrs = study_of(folder, name)
    found = [trial for trial in trials if trial.user_attrs.get("outcome") != "interrupted"]
    return attrs[CONFIG_KEY]["space"], {place_of(trial): (trial.params, trial.value) for trial in found}


def steps_of(folder: Path, name: str) -> int:
    trials = stored_trials(storage_of(folder), name)
    return sum(len(trial.intermediate_values) for trial in trials if CARRIED_KEY not in trial.user_attrs)


def test_kills_inside_rounds_change_nothing_and_a_round_can_be_shown_and_promoted(
    hms_search: CommandLine, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(hms_search.folder / "small.yaml", undisturbed)
    (undisturbed / "recordings").symlink_to(recordings)
    command = [sys.executable, "-m", "hms_search", *rounds(2)]
    subprocess.run(command, cwd=undisturbed, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)

    for name, steps in (("small", 2), ("small", 9), ("small.round2", 3)):
        process = hms_search.start(*rounds(2))
        wait_for(lambda name=name, steps=steps: steps_of(hms_search.folder, name) >= steps, timeout_s=240)  # type: ignore[misc]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    output = hms_search(*rounds(2))
    assert "round 2: study small.round2" in output
    for name in ("small", "small.round2"):
        assert searched(hms_search.folder, name) == searched(undisturbed, name)

    trials, attrs = study_of(hms_search.folder, "small.round2")
    space = attrs[CONFIG_KEY]["space"]
    assert space["parameters"] != study_of(hms_search.folder, "small")[1][CONFIG_KEY]["space"]["parameters"]
    origins = Counter(trial.user_attrs[CARRIED_KEY] for trial in trials if CARRIED_KEY in trial.user_attrs)
    first, _ = study_of(hms_search.folder, "small")
    best = min(first, key=lambda trial: trial.value or 9.0)
    assert set(origins.values()) == {1}
    assert f"small#{best.number}" in origins
    outcomes = Counter(trial.user_attrs["outcome"] for trial in trials if CARRIED_KEY not in trial.user_attrs)
    assert outcomes == {"complete": 6, "interrupted": 1}

    shown = hms_search("show", "small.round2")
    assert "the space follows from the round before" in shown
    assert "training.optimiser.lr" in shown
    promoted = hms_search("promote", "small.round2", "--data", "recordings", "--folds", "2", "--epochs", "1")
    assert "baseline" in promoted


def test_a_time_limit_is_that_of_the_session_not_of_each_round(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ended: list[Event] = []

    def count(event: Event) -> None:
        ended.extend([event] if isinstance(event, Finished) else [])

    clock = SimpleNamespace(monotonic=lambda: 10.0 * len(ended))  # each trial takes ten seconds
    monkeypatch.setattr(session, "time", clock)
    monkeypatch.setattr(coordinator, "time", clock)
    limited = ("data.root=recordings", "rounds={count: 3, trials: 4, narrow: {min_trials: 4}}", "timeout_s=65")
    report = session.run_study(
        read_study(Path("small.yaml"), limited), Places(), notify=count, progress=lambda *_: None
    )
    assert report.name == "small.round2"
    assert len(ended) == 7
