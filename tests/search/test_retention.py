"""What gc removes of a working directory, and above all what it does not."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState, create_trial

from hms_search.data.disk import bytes_in, remove
from hms_search.errors import StudyError
from hms_search.promotion.leftovers import leftovers
from hms_search.search.lineage import FIRST_KEY
from hms_search.search.places import Places
from hms_search.search.retention import checkpoints, trial_folders

ENDED = ({"outcome": "complete"}, {"outcome": "pruned"}, {"outcome": "failed"})


@pytest.fixture
def storage() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "mlruns")


def checkpoint(places: Places, study: str, number: int) -> Path:
    file = places.trials(study) / f"trial{number}" / "folds-abc" / "fold0" / "checkpoint.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 1000)
    return file


def trial(state: TrialState, attributes: Mapping[str, object]) -> optuna.trial.FrozenTrial:
    value = 1.0 if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, user_attrs=dict(attributes))


@pytest.mark.parametrize(
    ("attempts", "may_go", "reason"),
    [
        ([(TrialState.COMPLETE, {"outcome": "complete"})], True, "trial 0 is complete"),
        ([(TrialState.PRUNED, {"outcome": "pruned"})], True, "trial 0 is pruned"),
        ([(TrialState.FAIL, {"outcome": "failed"})], True, "trial 0 is failed"),
        ([(TrialState.RUNNING, {})], False, "trial 0 runs, or its session died"),
        ([(TrialState.RUNNING, {"paused_seconds": 3.0})], False, "trial 0 is paused"),
        ([(TrialState.WAITING, {})], False, "trial 0 is queued to go on"),
        ([(TrialState.FAIL, {"outcome": "interrupted"})], False, "trial 0 is interrupted"),
        ([(TrialState.FAIL, {})], False, "trial 0 is of an unknown outcome"),
        ([], False, "the study has no trial 0"),
        (
            [(TrialState.FAIL, {"outcome": "interrupted"}), (TrialState.WAITING, {"retry_of": 0})],
            False,
            "trial 0 is queued to go on",
        ),
        (
            [(TrialState.FAIL, {"outcome": "failed"}), (TrialState.RUNNING, {"retry_of": 0})],
            False,
            "trial 1 runs, or its session died",
        ),
        (
            [
                (TrialState.FAIL, {"outcome": "interrupted"}),
                (TrialState.COMPLETE, {"outcome": "complete", "retry_of": 0}),
            ],
            True,
            "trial 1, which ran trial 0 again, is complete",
        ),
    ],
)
def test_a_trials_folder_goes_once_nobody_goes_on_with_it(
    places: Places, attempts: list[tuple[TrialState, dict[str, object]]], may_go: bool, reason: str
) -> None:
    checkpoint(places, "s", 0)
    study = optuna.create_study()
    study.add_trials([trial(state, attributes) for state, attributes in attempts])
    (held,) = trial_folders(study.get_trials(), places.trials("s"))
    assert (held.may_go, held.reason, held.n_bytes) == (may_go, reason, 1000)


def test_a_trial_carried_from_another_round_says_nothing_of_this_ones_folders(places: Places) -> None:
    checkpoint(places, "s", 0)
    study = optuna.create_study()
    study.add_trial(trial(TrialState.COMPLETE, {"outcome": "complete", "carried_from": "r#0"}))
    (held,) = trial_folders(study.get_trials(), places.trials("s"))
    assert not held.may_go


def test_what_is_not_a_trials_folder_is_left_alone(places: Places) -> None:
    work = places.trials("s")
    for name in ("trialx", "trial-1", "other", "trial1.bak"):
        (work / name).mkdir(parents=True)
    (work / "best.npz").write_bytes(b"")
    assert not list(trial_folders([], work))


def test_half_a_checkpoint_goes_and_the_whole_one_beside_it_stays(places: Places) -> None:
    whole = checkpoint(places, "s", 0)
    half = whole.with_name(".checkpoint.pt.4711.partial")
    half.write_bytes(b"x")
    study = optuna.create_study()
    study.enqueue_trial({})
    folder, partial = trial_folders(study.get_trials(), places.trials("s"))
    assert (folder.may_go, partial.path, partial.may_go) == (False, half, True)


def test_all_studies_are_looked_at_or_one_with_its_rounds(places: Places, storage: optuna.storages.BaseStorage) -> None:
    for name, first in (("a", None), ("a.round2", "a"), ("b", None)):
        study = optuna.create_study(study_name=name, storage=storage)
        study.add_trial(trial(TrialState.COMPLETE, {"outcome": "complete"}))
        if first:
            study.set_user_attr(FIRST_KEY, first)
        checkpoint(places, name, 0)
    assert [held.path.parent.name for held in checkpoints(storage, places, None)] == ["a", "a.round2", "b"]
    assert [held.path.parent.name for held in checkpoints(storage, places, "a")] == ["a", "a.round2"]
    with pytest.raises(StudyError, match="no study 'c' in this storage"):
        list(checkpoints(storage, places, "c"))


def test_checkpoints_of_a_study_that_another_storage_knows_stay(
    places: Places, storage: optuna.storages.BaseStorage
) -> None:
    checkpoint(places, "elsewhere", 0)
    (held,) = checkpoints(storage, places, None)
    assert not held.may_go
    assert "another --storage" in held.reason


HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def running(places: Places) -> Iterator[None]:
    """Another process that runs study s."""
    lock = places.lock("s")
    lock.parent.mkdir(parents=True)
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield


@pytest.mark.usefixtures("running")
def test_nothing_of_a_study_goes_while_a_session_runs_it(places: Places, storage: optuna.storages.BaseStorage) -> None:
    for name, first in (("s", None), ("s.round2", "s"), ("t", None)):
        study = optuna.create_study(study_name=name, storage=storage)
        study.add_trial(trial(TrialState.COMPLETE, {"outcome": "complete"}))
        if first:
            study.set_user_attr(FIRST_KEY, first)
        checkpoint(places, name, 0)
    assert [(held.path.name, held.may_go) for held in checkpoints(storage, places, None)] == [
        ("s", False), ("s.round2", False), ("trial0", True)
    ]  # fmt: skip
    (places.unfinished / "m").mkdir(parents=True)
    assert [held.reason for held in leftovers(places)] == ["a session is running"]


def test_a_session_cannot_begin_while_its_checkpoints_are_looked_at(
    places: Places, storage: optuna.storages.BaseStorage
) -> None:
    optuna.create_study(study_name="s", storage=storage)
    checkpoint(places, "s", 0)
    for _ in checkpoints(storage, places, "s"):
        with pytest.raises(TimeoutError):
            FileLock(places.lock("s"), is_singleton=False).acquire(timeout=0)
    FileLock(places.lock("s"), is_singleton=False).acquire(timeout=0).lock.release()


def test_what_a_finished_model_was_made_from_goes_and_what_is_unfinished_stays(places: Places) -> None:
    for name in ("s-trial1-abcdef", "s-trial2-abcdef", "s-0123456789ab", "s-ba9876543210"):
        (places.unfinished / name).mkdir(parents=True)
    model = places.models / "s-trial1-abcdef"
    model.mkdir(parents=True)
    for name in ("model.json", "manifest.json"):
        (model / name).write_text("{}")
    (places.repeats / "s" / "0123456789ab").mkdir(parents=True)
    found = {held.path.name: held.may_go for held in leftovers(places)}
    assert found == {
        "s-trial1-abcdef": True, "s-trial2-abcdef": False, "s-0123456789ab": True, "s-ba9876543210": False
    }  # fmt: skip


def test_removing_follows_no_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(b"x" * 10)
    gone = tmp_path / "gone"
    (gone / "deep").mkdir(parents=True)
    (gone / "deep" / "file").write_bytes(b"x" * 5)
    (gone / "link").symlink_to(kept)
    assert bytes_in(gone) == 5
    remove(gone)
    assert not gone.exists()
    assert (kept / "file").exists()
    remove(gone)
