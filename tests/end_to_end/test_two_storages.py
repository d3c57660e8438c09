"""Studies of one name in two storages, in one working directory."""

import os
import signal

from command_line import CommandLine, wait_for

RUN = ("run", "small.yaml", "--data", "recordings", "--trials", "1")
OTHER = ("--storage", "sqlite:///other.db")


def test_a_study_leaves_the_checkpoints_alone_of_a_killed_one_of_its_name(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--set", "space.base.training.epochs=2000")
    trials = hms_search.folder / "mlruns" / "trials" / "small"
    wait_for(lambda: any(trials.rglob("progress.pt")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {file: file.read_bytes() for file in trials.rglob("*.pt")}
    assert "trial 0 (baseline): complete" in hms_search(*RUN, *OTHER, "--set", "seed=7")
    assert "another --storage" in hms_search("gc", "--apply", *OTHER)
    assert "trial 0 runs, or its session died" in hms_search("gc", "--apply")
    assert {file: file.read_bytes() for file in trials.rglob("*.pt")} == before
