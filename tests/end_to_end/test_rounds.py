"""A search in rounds: real processes, one killed inside a round, and what can be done with a round afterwards."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from command_line import CommandLine, wait_for

from hms_search.search.outcomes import CARRIED_KEY
from hms_search.search.study_attributes import CONFIG_KEY

RUN = ("run", "small.yaml", "--data", "recordings")


def rounds(count: int) -> tuple[str, ...]:
    return (*RUN, "--set", f"rounds={{count: {count}, trials: 6, narrow: {{min_trials: 4, alpha: 0.99}}}}")


def study_of(folder: Path, name: str) -> tuple[list[optuna.trial.FrozenTrial], dict[str, Any]]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}")
    try:
        names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
        if name not in names:
            return [], {}
        study = optuna.load_study(study_name=name, storage=storage)
        return study.trials, study.user_attrs
    finally:
        storage.engine.dispose()


def steps_in_round_2(folder: Path) -> int:
    trials, _ = study_of(folder, "small.round2")
    return sum(len(trial.intermediate_values) for trial in trials if CARRIED_KEY not in trial.user_attrs)


def test_a_later_round_keeps_its_space_through_a_kill_and_can_be_shown_and_promoted(hms_search: CommandLine) -> None:
    hms_search(*rounds(1))
    process = hms_search.start(*rounds(2))
    wait_for(lambda: steps_in_round_2(hms_search.folder) >= 2, timeout_s=240)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    _, before = study_of(hms_search.folder, "small.round2")
    output = hms_search(*rounds(2))
    assert "round 2: study small.round2" in output

    first, _ = study_of(hms_search.folder, "small")
    trials, attrs = study_of(hms_search.folder, "small.round2")
    space = attrs[CONFIG_KEY]["space"]
    assert space == before[CONFIG_KEY]["space"]
    assert space["parameters"] != study_of(hms_search.folder, "small")[1][CONFIG_KEY]["space"]["parameters"]
    origins = Counter(trial.user_attrs[CARRIED_KEY] for trial in trials if CARRIED_KEY in trial.user_attrs)
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
