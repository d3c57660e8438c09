"""A study on a disk that fills: before a session, in the middle of a trial, and while recordings are prepared."""

from pathlib import Path

import pytest
from small_disk import on_small_disk

pytestmark = pytest.mark.slow

PLAY = """
import contextlib, io, sqlite3, subprocess, sys, threading, time
from pathlib import Path
from hms_search.cli import main

RUN = ("run", "small.yaml", "--data", "recordings")
FILLER = Path("mlruns/filler")

def call(*arguments, code):
    sys.argv = ["hms-search", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
            found = 0
        except SystemExit as end:
            found = end.code or 0
    print("---", *arguments, "->", found, flush=True)
    print(said.getvalue(), flush=True)
    assert found == code, found
    assert "Traceback" not in said.getvalue()
    return said.getvalue()

def fill():
    with FILLER.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))

def fill_during_a_trial():
    while not any(Path("mlruns/trials").rglob("progress.pt")):
        time.sleep(0.01)
    fill()

def close(file):
    subprocess.run(["mount", "--bind", file, file], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", file], check=True)

def query(file, sql):
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute(sql).fetchall()
"""

FULL_BEFORE_AND_DURING = f"""{PLAY}
if __name__ == "__main__":
    call(*RUN, "--trials", "1", code=0)
    fill()
    assert "error: the disk is full where" in call(*RUN, "--trials", "2", code=2)
    assert "best: trial 0" in call("show", "small", code=0)
    call("gc", "--apply", code=0)
    FILLER.unlink()

    threading.Thread(target=fill_during_a_trial).start()
    said = call(*RUN, "--trials", "2", code=2)
    assert said.count("error: the disk is full where") == 1
    assert "hms-search gc" in said and "the same command again" in said
    FILLER.unlink()

    call(*RUN, "--trials", "2", code=0)
    states = query("mlruns/optuna.db", "select state, count(*) from trials group by state")
    assert dict(states)["COMPLETE"] == 2 and not {{"RUNNING", "WAITING"}} & dict(states).keys(), states
    assert query("mlruns/mlflow.db", "select name from runs where status = 'RUNNING'") == []
    assert not list(Path("mlruns/trials").rglob("*.pt"))
    print("all is well")
"""

READ_ONLY = f"""{PLAY}
if __name__ == "__main__":
    from hms_search.search.storage import close_storage, open_storage
    close_storage(open_storage("sqlite:///mlruns/optuna.db"))
    for folder in ("locks/small.lock", "unfinished/small-trial0-abcdef"):
        Path("mlruns", folder).parent.mkdir()
        Path("mlruns", folder).touch()
    subprocess.run(["mount", "-o", "remount,ro", "mlruns"], check=True)
    for command in (RUN, ("gc", "--apply")):
        said = call(*command, code=2)
        assert "error: mlruns cannot be written: Read-only file system; make it writable for this user" in said
    print("all is well")
"""

STORAGE_ON_A_FULL_DISK = f"""{PLAY}
if __name__ == "__main__":
    FILLER = Path("other/filler")
    threading.Thread(target=fill_during_a_trial).start()
    said = call(*RUN, "--trials", "2", code=2)
    assert said.count("error: ") == 1
    assert f"error: the disk is full where {{Path('other').resolve()}} lies" in said
    assert "the same command again" in said
    FILLER.unlink()
    assert "was left running by a session that died" in call(*RUN, "--trials", "2", code=0)
    print("all is well")
"""

READ_ONLY_STORAGE = f"""{PLAY}
if __name__ == "__main__":
    file = Path("mlruns/optuna.db").resolve()
    call(*RUN, "--trials", "1", code=0)
    close(file)
    said = call(*RUN, "--trials", "2", code=2)
    assert said.count("error: ") == 1
    assert f"error: storage sqlite:///{{file}}: attempt to write a readonly database; once mended, the same" in said
    subprocess.run(["umount", file], check=True)
    call(*RUN, "--trials", "2", code=0)
    assert query(file, "select state from trials") == [("COMPLETE",)] * 2
    print("all is well")
"""

READ_ONLY_TRACKING = f"""{PLAY}
if __name__ == "__main__":
    file = Path("mlruns/mlflow.db").resolve()
    call(*RUN, "--trials", "1", code=0)
    close(file)
    call(*RUN, "--trials", "2", code=0)
    subprocess.run(["umount", "--lazy", file], check=True)  # this process has it open
    subprocess.run([sys.executable, "-m", "hms_search", "sync", "small"], check=True)
    assert query(file, "select count(*) from runs where status = 'FINISHED'") == [(3,)], "the study's, and two trials'"
    print("all is well")
"""

FULL_WHILE_PREPARING = f"""{PLAY}
if __name__ == "__main__":
    said = call("run", "small.yaml", "--data", "recordings", "--trials", "1", code=2)
    assert "error: cannot write the Store" in said and "No space left on device; free some space" in said
    assert not list(Path("mlruns/stores").rglob("*.f16"))[2:], "what was half written is removed"
    print("all is well")
"""


def test_a_study_stops_clearly_and_goes_on_once_there_is_room(workplace: Path) -> None:
    folder = workplace / "mlruns"
    folder.mkdir()
    done = on_small_disk(folder, "64m", FULL_BEFORE_AND_DURING)
    assert "all is well" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("storage", ["sqlite:///{}/study.db", "journal:///{}/study.journal"])
def test_the_disk_of_a_storage_elsewhere_is_named_where_it_is_full(workplace: Path, storage: str) -> None:
    folder = workplace / "other"
    folder.mkdir()
    done = on_small_disk(folder, "8m", STORAGE_ON_A_FULL_DISK, HMS_SEARCH_STORAGE=storage.format(folder))
    assert "all is well" in done.stdout, done.stdout + done.stderr


def test_a_database_that_alone_may_not_be_written_is_named(workplace: Path) -> None:
    folder = workplace / "mlruns"
    folder.mkdir()
    done = on_small_disk(folder, "64m", READ_ONLY_STORAGE)
    assert "all is well" in done.stdout, done.stdout + done.stderr


def test_a_tracking_database_that_may_not_be_written_delays_what_it_is_told(workplace: Path) -> None:
    folder = workplace / "mlruns"
    folder.mkdir()
    done = on_small_disk(folder, "64m", READ_ONLY_TRACKING)
    assert "all is well" in done.stdout, done.stdout + done.stderr
    assert "mlflow.db: attempt to write a readonly database; check the file" in done.stderr
    assert "metrics are kept in mlruns/journals/small until then" in done.stderr
    assert "Traceback" not in done.stderr


def test_recordings_that_do_not_fit_end_in_one_clear_line(workplace: Path) -> None:
    folder = workplace / "mlruns"
    folder.mkdir()
    done = on_small_disk(folder, "2m", FULL_WHILE_PREPARING)
    assert "all is well" in done.stdout, done.stdout + done.stderr


def test_a_folder_that_may_not_be_written_is_named(workplace: Path) -> None:
    folder = workplace / "mlruns"
    folder.mkdir()
    done = on_small_disk(folder, "2m", READ_ONLY)
    assert "all is well" in done.stdout, done.stdout + done.stderr
