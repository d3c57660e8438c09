"""``hms-search sync`` and ``migrate``: what waits goes to the MLflow it was written for."""

import os
import sys
from pathlib import Path

import pytest
from relocatable import config_of, recorder
from store_dumps import moved

from hms_search.cli import main
from hms_search.errors import TrackingError
from hms_search.search.places import Places
from hms_search.tracking import RunReader, open_journaled
from hms_search.tracking.journal import RunJournal

AWAY = "http://127.0.0.1:9"


def left_for(uri: str, places: Places, study: str = "small") -> Path:
    """Leave a run that the MLflow at ``uri`` was not told of; return its folder."""
    journals = places.journals(study)
    before = set(journals.iterdir()) if journals.is_dir() else set()
    tracker = open_journaled(uri, places.artifacts, journals, study=study)
    run = tracker.start_run("late", parent_id=None, params={}, tags={"trial": "7"}, texts={})
    run.log({"kl": 1.0}, step=0)
    run.finish("complete", metrics={}, files={})
    (folder,) = (path for path in set(journals.iterdir()) - before if path.is_dir())
    return folder


def test_what_an_outage_left_is_sent_nowhere_else_until_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sync(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["hms-search", "sync", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert (caught.value.code or 0) == code
        return captured.out + captured.err

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HMS_SEARCH_TRACKING_URI", raising=False)
    folder = left_for(f"http://ada:s3cret@{AWAY.removeprefix('http://')}", Places())
    kept = (folder / "journal.jsonl").read_bytes()
    for _ in range(2):
        said = sync(code=2)
        assert "small: 0 sent, 1 left" in said
        assert f"hms-search sync --tracking-uri {AWAY}" in said
        assert "s3cret" not in said
    assert (folder / "journal.jsonl").read_bytes() == kept
    assert "none takes nothing" in sync("--tracking-uri", "none", code=2)
    assert "check that the server runs" in sync("--tracking-uri", AWAY, code=2)
    assert "small: 1 sent, 0 left" in sync("--from", AWAY)
    assert not folder.exists()
    assert "nothing waits for MLflow" in sync()
    key = folder.name
    left_for(AWAY, Places(), "smaller")
    left_for(AWAY, Places(), "big.round2")
    assert "nothing of small waits for MLflow" in sync("small")
    assert "big.round2: 0 sent, 1 left" in sync("big", code=2)
    assert RunReader(Places().tracking_uri).curve(f"local-{key}", "kl") == ((0, 1.0),)


def test_what_waits_for_the_local_file_is_found_where_its_folder_is_moved(tmp_path: Path) -> None:
    here, there = Places(root=tmp_path / "here" / "mlruns"), Places(root=tmp_path / "there" / "mlruns")
    here.root.parent.mkdir()
    (here.root).mkdir()
    (here.root / "mlflow.db").write_bytes(b"no database, so that it waits")
    left_for(here.tracking_uri, here)
    (here.root / "mlflow.db").unlink()
    os.rename(here.root.parent, there.root.parent)  # noqa: PTH104
    tracker = open_journaled(there.tracking_uri, there.artifacts, there.journals("small"), study="small")
    assert tracker.send_waiting(insist=True).runs == 0


def test_a_study_is_not_moved_while_its_runs_wait_for_another_mlflow(tmp_path: Path) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    recorder(config_of(), here).trial("complete")
    folder = left_for(AWAY, here)
    with pytest.raises(TrackingError, match=rf"1 runs of 'small' wait .*hms-search sync --tracking-uri {AWAY}"):
        moved(here, there)
    assert folder.is_dir()
    assert not there.root.exists()


def test_a_study_is_moved_while_a_run_waits_for_a_machine_that_is_gone(tmp_path: Path) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    recorder(config_of(), here).trial("complete")
    journal = RunJournal(here.journals("small") / ("e" * 32))
    content = {"outcome": "interrupted", "reason": "its session died", "metrics": {}}
    journal.append("finish", content, known_as="local-" + "f" * 32)
    assert moved(here, there).trials == 1
    assert journal.is_behind
