"""A clock that jumps, back and forth, as a real process sees it: nothing is lost, and no value changes."""

import time
from pathlib import Path

import optuna
import pytest
from command_line import CommandLine, wait_for
from lacking import lacking
from stored_trials import stored_trials

RUN = ("run", "small.yaml", "--data", "recordings", "--trials", "2", "--set", "space.base.training.epochs=4")


def libfaketime() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else lacking("no libfaketime here: install Debian's package libfaketime")


def trials(folder: Path, name: str = "small") -> list[optuna.trial.FrozenTrial]:
    return stored_trials(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}", name)


def n_steps(folder: Path) -> int:
    return sum(len(trial.intermediate_values) for trial in trials(folder))


def test_a_study_does_not_mind_a_clock_that_jumps(hms_search: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = hms_search.folder / "clock"
    clock.write_text("+0")
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(libfaketime()))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")  # the system never sets that one
        patch.setenv("NO_FAKE_STAT", "1")
        process = hms_search.start(*RUN)
    for jump in ("-2d", "+400d", "+30d"):
        before = n_steps(hms_search.folder)
        wait_for(lambda before=before: n_steps(hms_search.folder) > before, timeout_s=120)  # type: ignore[misc]
        clock.write_text(jump)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    jumped = trials(hms_search.folder)
    assert [trial.state.name for trial in jumped] == ["COMPLETE"] * 2
    months = {trial.datetime_complete.strftime("%Y-%m") for trial in jumped if trial.datetime_complete is not None}
    assert time.strftime("%Y-%m") not in months, "the process did not see the clock jump"
    assert "best: trial" in hms_search("show", "small")
    assert hms_search("report", "small")
    hms_search(*RUN, "--set", "name=straight")
    straight = trials(hms_search.folder, "straight")
    assert [trial.value for trial in straight] == [trial.value for trial in jumped]
