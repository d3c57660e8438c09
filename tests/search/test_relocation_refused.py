"""What is not copied, and why: said in one line, with nothing changed on either side."""

from pathlib import Path

import optuna
import pytest
from relocatable import YAML, config_of, record_study, recorder
from store_dumps import everything, moved, studies_of

from hms_search.errors import HmsSearchError, StudyError, TrackingError
from hms_search.search.locks import only_session
from hms_search.search.places import Places
from hms_search.search.relocation import relocate
from hms_search.search.storage import existing_storage
from hms_search.tracking import MlflowTracker


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A working directory with a recorded study, which the tests only read."""
    places = Places(root=tmp_path_factory.mktemp("recorded") / "mlruns")
    record_study(places)
    return places


def test_another_study_of_that_name_is_left_alone(recorded: Places, tmp_path: Path) -> None:
    other = Places(root=tmp_path / "other")
    recorder(config_of(YAML.replace("high: 0.5", "high: 0.4")), other).trial("complete")
    before = everything(other)
    with pytest.raises(StudyError, match="has a study 'small' already, with another space"):
        moved(recorded, other)
    twin = Places(root=tmp_path / "twin")
    recorder(config_of(), twin).trial("complete")
    with pytest.raises(StudyError, match="has a study 'small' already, with other trials"):
        moved(recorded, twin)
    foreign = Places(root=tmp_path / "foreign")
    foreign.root.mkdir()
    optuna.create_study(study_name="small", storage=foreign.storage)
    with pytest.raises(StudyError, match="that hms-search did not make"):
        moved(recorded, foreign)
    only_runs = Places(root=tmp_path / "new", tracking=other.tracking_uri)
    with pytest.raises(TrackingError, match="'small' with the runs of another study"):
        moved(recorded, only_runs)
    assert everything(other) == before
    with pytest.raises(StudyError, match=r"is in sqlite:///.* already; name another storage"):
        moved(recorded, recorded)
    with pytest.raises(StudyError, match=r"no study 'smal': it has small, small.round2"):
        moved(recorded, other, name="smal")


def test_a_study_that_runs_or_waits_for_mlflow_is_not_copied(tmp_path: Path) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    record_study(here)
    for held in ("small", "small.promotion", "small.round2.again"):
        with only_session(here.lock(held), held), pytest.raises(StudyError, match="being run or promoted"):
            moved(here, there)
    session = recorder(config_of(), here)
    session.tracker.start_run("late", parent_id=None, params={}, tags={}, texts={}, kind="trial")
    (journal,) = [path for path in here.journals("small").iterdir() if path.is_dir()]
    (journal / "journal.jsonl").write_text("{\n")
    with pytest.raises(TrackingError, match=r"1 runs of 'small' wait in .*: .*is damaged.*hms-search sync, then"):
        moved(here, there)
    assert not there.root.exists()


def test_only_the_study_moves_where_no_mlflow_is_named(recorded: Places, tmp_path: Path) -> None:
    said = []
    target = Places(storage_url=f"journal:///{tmp_path}/studies.journal", root=tmp_path / "mlruns", tracking="none")
    done = relocate("small", recorded, target, notify=lambda event: said.append(event), progress=lambda *_: None)
    assert (done.written, done.runs.copied.runs) == (15, 0)
    assert studies_of(target) == studies_of(recorded)
    assert "no runs are copied: --to-tracking-uri none leaves them where they are" in str(said)


def test_what_stays_is_said(tmp_path: Path) -> None:
    here, said = Places(root=tmp_path / "here"), list[object]()
    session = recorder(config_of(), here)
    run_id = session.trial("complete").user_attrs["mlflow_run_id"]
    session.study.enqueue_trial({}, user_attrs={"mlflow_run_id": "f" * 32})
    blends = MlflowTracker(here.tracking_uri, here.artifacts, study="ensembles")
    for name, members in (("blend", run_id), ("other", "e" * 32)):
        blends.start_run(name, parent_id=None, params={}, tags={"member_run_ids": members}, texts={}, kind="ensemble")
    there = Places(root=tmp_path / "there")
    relocate("small", here, there, notify=said.append, progress=lambda *_: None)
    assert "1 trials name runs that mlruns does not have; they keep those names" in str(said)
    assert "left where it is: the run of ensemble blend" in str(said)
    assert "ensemble other" not in str(said)
    with existing_storage(there.storage) as storage:
        assert optuna.load_study(study_name="small", storage=storage).trials[1].user_attrs["mlflow_run_id"] == "f" * 32


def test_no_password_is_told(recorded: Places, tmp_path: Path, postgres_url: str) -> None:
    secret = postgres_url.replace("hms@", "hms:s3cret@")
    for target in (
        Places(storage_url=secret.replace("/postgres", "/nowhere"), root=tmp_path),
        Places(storage_url=f"sqlite:///{tmp_path}/a.db", root=tmp_path, tracking="http://hms:s3cret@127.0.0.1:9"),
        Places(
            storage_url=f"sqlite:///{tmp_path}/b.db", root=tmp_path, tracking=secret.replace("/postgres", "/nowhere")
        ),
    ):
        with pytest.raises(HmsSearchError) as caught:
            moved(recorded, target)
        assert "s3cret" not in str(caught.value)
        assert "\n" not in str(caught.value)
