"""``hms-search gc`` and the disk use in ``show``, on a study that was killed and one that has ended."""

import os
import signal
from pathlib import Path

from command_line import CommandLine, wait_for

RUN = ("run", "small.yaml", "--data", "recordings")


def test_what_a_killed_study_goes_on_with_outlives_gc(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--trials", "1", "--set", "space.base.training.epochs=2000")
    trials = hms_search.folder / "mlruns" / "trials" / "small"
    wait_for(lambda: any(trials.rglob("progress.pt")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = contents(trials)
    assert "trial 0 runs, or its session died" in hms_search("gc", "--apply")
    assert contents(trials) == before


def test_gc_says_what_may_go_and_takes_it_only_when_asked(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "1")
    left = hms_search.folder / "mlruns" / "trials" / "small" / "trial0" / "checkpoint.pt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 2_000_000)
    assert "on disk: 2.0 MB checkpoints, " in hms_search("show", "small")
    output = hms_search("gc", "--stores")
    assert "may go        2.0 MB  mlruns/trials/small/trial0: trial 0 is complete" in output
    assert ": study small\n" in output
    assert "1 may go, 2.0 MB\nnothing was removed; the same command with --apply does it\n" in output
    assert left.exists()
    assert "removed       2.0 MB  mlruns/trials/small/trial0" in hms_search("gc", "small", "--apply")
    assert not left.parent.exists()
    assert "0 may go, 0.0 MB\n" in hms_search("gc", "small")
    assert "error: no study 'smal' in this storage" in hms_search("gc", "smal", code=2)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
