import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hms_search.errors import StudyError
from hms_search.search import journal_storage
from hms_search.search.journal_storage import cut_torn_line
from hms_search.search.storage import close_storage, existing_storage, open_storage


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "study.journal"


def told(file: Path, count: int) -> None:
    """Tell some trials of a study in a session of their own."""
    storage = open_storage(f"journal:///{file}")
    study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
    for _ in range(count):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(1.0, 0)
        study.tell(trial, 0.5)
    close_storage(storage)


def states(file: Path) -> list[TrialState]:
    with existing_storage(f"journal:///{file}") as storage:
        return [trial.state for trial in optuna.load_study(study_name="s", storage=storage).trials]


def test_a_study_in_a_journal_goes_on_in_another_session(file: Path) -> None:
    told(file, 3)
    told(file, 2)
    assert states(file) == [TrialState.COMPLETE] * 5


@pytest.mark.parametrize("torn", [b"{", b'{"op_code":4,"worker', b"x" * 200_000, b"\x80\x04"])
def test_half_a_line_of_a_process_that_died_is_cut_before_the_next_record(file: Path, torn: bytes) -> None:
    told(file, 2)
    whole = file.read_bytes()
    file.write_bytes(whole + torn)
    assert states(file) == [TrialState.COMPLETE] * 2
    told(file, 1)
    assert states(file) == [TrialState.COMPLETE] * 3
    assert file.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in file.read_bytes().splitlines())


def test_it_is_cut_in_the_middle_of_a_session_too(file: Path) -> None:
    storage = open_storage(f"journal:///{file}")
    study = optuna.create_study(study_name="s", storage=storage)
    study.tell(study.ask(), 1.0)
    with file.open("ab") as another:
        another.write(b'{"op_code":4,"work')
    study.tell(study.ask(), 2.0)
    close_storage(storage)
    assert states(file) == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize(("content", "left"), [(b"", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nb", b"a\n"), (b"ab", b"")])
def test_only_what_follows_the_last_whole_line_is_cut(tmp_path: Path, content: bytes, left: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert cut_torn_line(path) == len(content) - len(left)
    assert path.read_bytes() == left


def test_a_journal_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    missing = pytest.raises(StudyError, match=r"there are no studies yet: no file .*none\.journal")
    with missing, existing_storage(f"journal:///{tmp_path}/none.journal"):
        pass
    assert not (tmp_path / "none.journal").exists()


def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a journal\nat all\n")
    with pytest.raises(StudyError, match="expected a journal of Optuna's"):
        open_storage(f"journal:///{tmp_path}/text")
    assert (tmp_path / "text").read_text() == "not a journal\nat all\n"


DIE_WITH_THE_LOCK = """
import os, signal, sys
from hms_search.search.storage import open_storage
open_storage(sys.argv[1])._backend._lock.acquire()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("moved", [False, True])
def test_a_lock_of_a_process_that_died_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    url, file = "journal:///sub/study.journal", tmp_path / "sub" / "study.journal"
    subprocess.run([sys.executable, "-c", DIE_WITH_THE_LOCK, url], check=False)
    lock = file.with_name("study.journal.lock")
    assert lock.is_symlink()
    if moved:  # as Optuna makes it
        lock.unlink()
        lock.symlink_to(tmp_path / "where_it_was" / "study.journal")
    monkeypatch.setattr(journal_storage, "GRACE_S", 0.5)
    storage = open_storage(url)
    monkeypatch.chdir(tmp_path / "sub")  # it is found from anywhere
    optuna.create_study(study_name="s", storage=storage)
    close_storage(storage)
    assert states(file) == []
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("url", ["journal://", "journal:///", "journal://folder/file"])
def test_a_journal_without_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match="names no file; write journal:///FILE"):
        open_storage(url)
    assert list(tmp_path.iterdir()) == []
