"""What a coordinator does with many workers that are free at once."""

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from pretended import Pretended

from hms_search.search import coordinator as coordinator_module
from hms_search.search.contract import contract_of, open_study
from hms_search.search.coordinator import Coordinator
from hms_search.search.events import Event, Finished, Judged, Notice, Submitted
from hms_search.search.history import StudyHistory
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.outcomes import place_of
from hms_search.search.patient_storage import set_system_attrs
from hms_search.search.peers import HOME_KEY, Alone, Peers
from hms_search.search.racing import Ground
from hms_search.search.retention import experiments_of
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Ending, EpochEnded, Job, TrialEnded, TrialStarted, Verdict, own_folder
from hms_search.search.workers import WorkerDied
from hms_search.tracking import MemoryTracker
from hms_search.training.results import Epoch

SPACE: dict[str, Any] = {
    "name": "wide",
    "base": {
        "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
        "model": {"name": "timm", "backbone": "test_resnet", "weights": "none", "dropout": 0.0},
        "training": {"epochs": 2, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 1e-3}},
    },
    "parameters": {
        "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "training.batch_size": {"type": "int", "low": 4, "high": 16},
    },
}


EPOCHS = 20
PAUSING = {
    "space": {**SPACE, "base": {**SPACE["base"], "training": {**SPACE["base"]["training"], "epochs": EPOCHS}}},
    "folds": {"name": "grouped", "n_folds": 2, "use": [0]},
    "sampler": {"name": "random"},
}


STOPPED: dict[Verdict, Ending] = {"pause": "paused", "prune": "pruned", "interrupt": "interrupted"}


class Instant(Pretended):
    """A worker whose trials end as soon as it is handed them, with their dropout as value."""

    def submit(self, job: Job) -> None:
        assert self.idle
        self.job = job
        value = float(str(job.params["model.dropout"]))
        self._end.send(TrialEnded(job.number, "complete", "", 0.0, (value,), metrics={"kl_all": value}))


class Late(Instant):
    """A worker of which is heard that a trial has started when it has ended, and the next one runs."""

    _before: Job | None = None

    def submit(self, job: Job) -> None:
        if self._before is not None:
            self._end.send(TrialStarted(self._before.number, "r" * 32))
        self._before = job
        super().submit(job)


class Stepwise(Instant):
    """A worker that reports each epoch of a trial; the baseline is the worst, those of ``fails`` diverge."""

    _at = 0
    fails: Collection[int] = ()

    def submit(self, job: Job) -> None:
        self.job = job
        self._at = 0 if job.before is None else job.before.steps
        if job.before is None:
            run = self.tracker.start_run(str(job.number), parent_id="study", params={}, tags={}, texts={})
            self._end.send(TrialStarted(job.number, run.id))
        self._say(job)

    def _say(self, job: Job) -> None:
        value = 9.0 if job.number == 0 else float(str(job.params["model.dropout"]))
        if job.number in self.fails:
            self._end.send(TrialEnded(job.number, "failed", "", 1.0, reason="training diverged"))
        elif self._at == EPOCHS:
            self._end.send(TrialEnded(job.number, "complete", "", 1.0, (value,), metrics={"kl_all": value}))
        else:
            epoch = Epoch(0, self._at, EPOCHS, value, 0.0, {}, 1.0, 1e-3, step=self._at)
            self._end.send(EpochEnded(job.number, epoch))

    def answer(self, verdict: Verdict) -> None:
        assert self.job is not None
        self._at += 1
        if verdict == "continue":
            self._say(self.job)
        else:
            self._end.send(TrialEnded(self.job.number, STOPPED[verdict], "", 1.0))


class Failing(Stepwise):
    """Such a worker, under whom few trials get anywhere."""

    fails = (1, 2, 4, 5)


class Mortal(Instant):
    """A worker that says that its trial has started and has ended, but for the third one, of which nothing is heard."""

    def submit(self, job: Job) -> None:
        if self.slot < 2:
            self._end.send(TrialStarted(job.number, "r" * 32))
            super().submit(job)
        self.job = job

    def kill(self) -> WorkerDied | None:
        job, self.job = self.job, None
        return WorkerDied(job, "", "killed") if job is not None else None


class Beside(Alone):
    """A session beside which another lives, which has a folder of its own, for so many turns of this one."""

    def __init__(self, home: str, turns: int) -> None:
        super().__init__()
        self._home, self._left = home, turns

    @property
    def homes(self) -> dict[str, str]:
        return {self.session: "here"} | ({"other": self._home} if self._left > 0 else {})

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        self._left -= 1
        yield


class Counting(Alone):
    """The only session, which counts how often it has the study for itself."""

    turns = 0

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        self.turns += 1
        yield


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[optuna.storages.BaseStorage]:
    opened = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    yield opened
    close_storage(opened)


@dataclass(frozen=True)
class Ran:
    """A study that ran: its trials, how many were handed out before any ended, in how many turns, and what was said."""

    trials: list[FrozenTrial]
    first: int
    turns: int
    said: list[Event]


def coordinated(
    config: StudyConfig,
    storage: optuna.storages.BaseStorage,
    tmp_path: Path,
    tracker: MemoryTracker,
    *,
    notify: Callable[[Event | None], None],
    peers: Peers | None,
) -> tuple[optuna.Study, Coordinator]:
    """Return a study, and its coordinator after it has taken up what there is."""
    sampler = config.sampler.build(config.space, config.seed)
    study = optuna.create_study(study_name=config.name, storage=storage, sampler=sampler, load_if_exists=True)
    around = Surroundings(tracker, "study", {}, tmp_path / "pictures", tmp_path, Ground((), ()))
    coordinator = Coordinator(config, study, around, notify=notify, peers=peers)
    coordinator.recover()
    return study, coordinator


def ran(
    config: StudyConfig,
    storage: optuna.storages.BaseStorage,
    tmp_path: Path,
    *,
    workers: int,
    kind: type[Instant] = Instant,
) -> Ran:
    peers = Counting()
    said: list[Event | None] = []
    tracker = MemoryTracker()
    study, coordinator = coordinated(config, storage, tmp_path, tracker, notify=said.append, peers=peers)
    before, slots = peers.turns, [kind(slot, tracker) for slot in range(workers)]
    coordinator._hand_out(slots)
    first, turns = sum(not slot.idle for slot in slots), peers.turns - before
    assert coordinator.run(slots)
    return Ran(study.trials, first, turns, [event for event in said if event is not None])


def test_free_workers_are_handed_trials_in_one_turn_and_no_more_than_are_left(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "wide", "space": SPACE, "trials": 11, "pruner": {"name": "none"}})
    found = ran(config, storage, tmp_path, workers=8)
    assert (found.first, found.turns) == (8, 1)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 11
    assert len({tuple(trial.params.values()) for trial in found.trials}) == 11
    assert found.trials[0].user_attrs["baseline"]


def test_where_many_trials_end_together_the_first_workers_go_on_before_the_last_are_told(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "wide", "space": SPACE, "trials": 60, "pruner": {"name": "none"}})
    found = ran(config, storage, tmp_path, workers=40)
    assert (found.first, found.turns) == (40, 3)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 60
    said = [type(event) for event in found.said if isinstance(event, Submitted | Finished)]
    assert [(kind, len(list(same))) for kind, same in groupby(said)][:6] == [
        (Submitted, 40),
        (Finished, 16),
        (Submitted, 16),
        (Finished, 16),
        (Submitted, 4),
        (Finished, 8 + 20),
    ]


def test_a_grid_is_tried_once_by_more_workers_than_it_has_points(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    grid = {"sampler": {"name": "grid", "points": 2}, "pruner": {"name": "none"}, "trials": 20}
    found = ran(StudyConfig.model_validate({"name": "grid", "space": SPACE, **grid}), storage, tmp_path, workers=8)
    baseline, *points = found.trials
    assert baseline.user_attrs["baseline"]
    assert sorted(tuple(trial.params.values()) for trial in points) == [(0.0, 4), (0.0, 16), (0.5, 4), (0.5, 16)]


def test_a_start_that_is_heard_of_after_the_end_is_passed_over(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "late", "space": SPACE, "trials": 5, "pruner": {"name": "none"}})
    found = ran(config, storage, tmp_path, workers=2, kind=Late)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 5
    assert not any("mlflow_run_id" in trial.user_attrs for trial in found.trials)


@pytest.mark.parametrize("budget", [{"trials": 7}, {"trials": 100, "max_epochs": 30}])
def test_a_searched_trial_reaches_the_end_though_the_baseline_has(
    budget: dict[str, int], storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "small", **PAUSING, **budget})
    found = ran(config, storage, tmp_path, workers=1, kind=Stepwise)
    complete = [trial for trial in found.trials if trial.state == TrialState.COMPLETE]
    waited = [trial for trial in found.trials if trial.state == TrialState.PRUNED]
    assert [trial.number for trial in complete][:1] == [0]
    assert len(complete) == 2
    assert len(waited) >= 1
    assert complete[1].value < 9.0 == complete[0].value


class DeadError(Exception):
    """A session ends in the midst of what it does, as kill -9 ends it."""


def session(
    config: StudyConfig,
    storage: optuna.storages.BaseStorage,
    tmp_path: Path,
    tracker: MemoryTracker,
    *,
    notify: Callable[[Event | None], None] = lambda _: None,
    peers: Peers | None = None,
) -> tuple[optuna.Study, bool]:
    """Run a study by one worker until it is over, or ``notify`` raises; return it, and whether it is over."""
    study, coordinator = coordinated(config, storage, tmp_path, tracker, notify=notify, peers=peers)
    try:
        return study, coordinator.run([Stepwise(0, tracker)])
    except DeadError:
        return study, False


def values_of(study: optuna.Study) -> dict[int, float]:
    """The values of the trials that completed."""
    return {trial.number: trial.value for trial in study.get_trials(states=[TrialState.COMPLETE])}


def test_a_trial_whose_session_died_after_its_last_epoch_completes(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    config = StudyConfig.model_validate({"name": "killed", **PAUSING, "trials": 12})

    def die_before_the_first_end(event: Event | None) -> None:
        if isinstance(event, Judged) and event.ended.number > 0 and event.ended.epoch.step + 1 == EPOCHS:
            raise DeadError

    killed, _ = session(config, storage, tmp_path, tracker, notify=die_before_the_first_end)
    cut = [trial for trial in killed.trials if trial.number > 0 and len(trial.intermediate_values) == EPOCHS]
    assert [trial.state for trial in cut] == [TrialState.RUNNING]
    again, is_over = session(config, storage, tmp_path, tracker)
    assert is_over
    assert cut[0].number in values_of(again)


@pytest.mark.parametrize(("trials", "pruner"), [(12, "pausing_halving"), (6, "hyperband")])
def test_a_session_that_dies_in_whatever_epoch_leaves_each_trial_to_be_trained_as_far(
    trials: int, pruner: str, tmp_path: Path
) -> None:
    settings = {"name": "died", **PAUSING, "trials": trials, "pruner": {"name": pruner}}
    config = StudyConfig.model_validate(settings)

    def trained(study: optuna.Study) -> dict[int, tuple[dict[str, Any], str, int]]:
        ended = [trial for trial in study.trials if trial.user_attrs["outcome"] != "interrupted"]
        return {place_of(one): (one.params, one.state.name, len(one.intermediate_values)) for one in ended}

    whole, _ = session(config, optuna.storages.InMemoryStorage(), tmp_path, MemoryTracker())
    expected = trained(whole)
    assert {state for _, state, _ in expected.values()} == {"COMPLETE", "PRUNED"}
    n_epochs = sum(reached for _, _, reached in expected.values())
    for at in range(EPOCHS + 1, n_epochs + 1):  # the baseline has ended
        heard = count(1)

        def die(event: Event | None, judged: Iterator[int] = heard, at: int = at) -> None:
            if isinstance(event, Judged) and next(judged) == at:
                raise DeadError

        storage, tracker = optuna.storages.InMemoryStorage(), MemoryTracker()
        session(config, storage, tmp_path, tracker, notify=die)
        again, is_over = session(config, storage, tmp_path, tracker)
        assert is_over
        assert trained(again) == expected, f"died in epoch {at}"


def test_a_trial_that_was_stopped_is_run_again_though_the_budget_is_spent(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    config = StudyConfig.model_validate({"name": "spent", **PAUSING, "trials": 100, "max_epochs": EPOCHS + 2})

    def stop(event: Event | None) -> None:
        if isinstance(event, Judged) and event.ended.number > 0 and event.ended.epoch.step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    stopped, is_over = session(config, storage, tmp_path, tracker, notify=stop)
    assert not is_over
    assert [trial.state for trial in stopped.trials][-1] == TrialState.WAITING
    again, is_over = session(config, storage, tmp_path, tracker)
    assert is_over
    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert session(config, storage, tmp_path, tracker)[0].trials == again.trials


def test_a_trial_that_was_stopped_comes_before_what_is_queued_and_cannot_be_trained_any_more(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    known = tmp_path / "good.csv"
    known.write_text("model.dropout,training.batch_size\n0.1,8\n0.2,8\n0.3,8\n")
    settings = {"name": "queued", **PAUSING, "pruner": {"name": "none"}, "warm_start": [str(known)]}
    config = StudyConfig.model_validate({**settings, "trials": 50, "max_epochs": EPOCHS + 10})

    def stop(event: Event | None) -> None:
        if isinstance(event, Judged) and event.ended.number == 1 and event.ended.epoch.step == 11:
            os.kill(os.getpid(), signal.SIGINT)

    session(config, storage, tmp_path, MemoryTracker(), notify=stop)
    again, is_over = session(config, storage, tmp_path, MemoryTracker())
    assert is_over
    assert {trial.number: trial.state.name for trial in again.trials} == {
        **{0: "COMPLETE", 1: "FAIL", 2: "WAITING", 3: "WAITING"},
        4: "COMPLETE",
    }
    assert again.trials[4].user_attrs["retry_of"] == 1


def test_what_another_session_is_to_go_on_with_is_not_ended_while_that_one_lives(
    storage: optuna.storages.BaseStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator_module, "_PAUSE_S", 0.0)
    tracker = MemoryTracker()
    config = StudyConfig.model_validate({"name": "beside", **PAUSING, "trials": 12})

    def die_when_all_have_begun(event: Event | None) -> None:
        if isinstance(event, Finished) and event.ended.number == 11 and event.ended.outcome == "paused":
            raise DeadError

    whole, _ = session(config, optuna.storages.InMemoryStorage(), tmp_path, MemoryTracker())
    there = Beside("nowhere", 0)
    study, _ = session(config, storage, tmp_path, tracker, notify=die_when_all_have_begun, peers=there)
    waiting = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    assert len(waiting) >= 8
    for trial in waiting:
        set_system_attrs(storage, [(trial._trial_id, HOME_KEY, "there")])
    here = Beside("there", turns=5)

    def look(event: Event | None) -> None:
        if len(here.homes) == 2:
            assert [trial.number for trial in study.trials if trial.state == TrialState.PRUNED] == []

    again, is_over = session(config, storage, tmp_path, tracker, notify=look, peers=here)
    assert is_over
    assert values_of(again) == values_of(whole)


def test_failures_beside_trials_that_pause_do_not_end_the_search(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "failing", **PAUSING, "trials": 12})
    found = ran(config, storage, tmp_path, workers=2, kind=Failing)
    assert len([trial for trial in found.trials if trial.state == TrialState.FAIL]) == 4
    assert len(found.trials) == 12
    assert not any(isinstance(event, Notice) and "failed" in event.text for event in found.said)


def test_where_all_have_failed_no_more_are_started_but_the_next_session_tries_again(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    class Broken(Stepwise):
        fails = range(6)

    config = StudyConfig.model_validate({"name": "broken", **PAUSING, "trials": 12})
    first, second, third = (ran(config, storage, tmp_path, workers=1, kind=Broken) for _ in range(3))
    assert [len(one.trials) for one in (first, second, third)] == [3, 6, 12]
    said = [event.text for event in first.said if isinstance(event, Notice)]
    assert sum("all of the first 3 trials failed" in text for text in said) == 1


def test_trials_that_have_ended_count_where_the_session_is_stopped_at_once(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "stopped", "space": SPACE, "trials": 5, "pruner": {"name": "none"}})
    study = optuna.create_study(study_name=config.name, storage=storage)
    tracker = MemoryTracker()
    around = Surroundings(tracker, "study", {}, tmp_path / "pictures", tmp_path, Ground((), ()))
    slots = [Mortal(slot, tracker) for slot in range(3)]

    def stop_at_once(event: Event | None) -> None:
        if isinstance(event, Submitted) and event.slot == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    coordinator = Coordinator(config, study, around, notify=stop_at_once)
    coordinator.recover()
    assert not coordinator.run(slots)
    ended, again = study.trials[:3], study.trials[3:]
    assert [trial.state for trial in ended] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL]
    assert [trial.user_attrs["outcome"] for trial in ended] == ["complete", "complete", "interrupted"]
    assert [trial.user_attrs["retry_of"] for trial in again] == [2]


def test_a_paused_trial_that_ends_every_session_in_the_same_epoch_is_failed(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    training = {**SPACE["base"]["training"], "epochs": 4}
    space = {**SPACE, "base": {**SPACE["base"], "training": training}}
    config = StudyConfig.model_validate({"name": "fatal", "space": space, "trials": 1})
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    tracker = MemoryTracker()
    run = tracker.start_run("trial 0", parent_id="study", params={}, tags={}, texts={})
    around = Surroundings(tracker, "study", {}, tmp_path / "pictures", tmp_path, Ground((), ()))
    ledger, trial = Ledger(config, study, around), study.ask()
    config.space.suggest(trial)
    ledger.started([(trial, run.id)])
    ledger.reached([(trial, step, 0.9) for step in range(2)])
    ledger.pause([(trial, TrialEnded(0, "paused", run.id, 3.0))])
    folder = own_folder(tmp_path, 0, experiments_of(study)(study.trials[0]))
    folder.mkdir()

    def after_a_session_died() -> Coordinator:
        ledger.own([trial], "dead")
        coordinator = Coordinator(config, study, around, notify=lambda _: None)
        coordinator.recover()
        return coordinator

    for _ in range(10):
        assert after_a_session_died().left() == 1
    ledger.reached([(trial, 2, 0.9)])
    for _ in range(10):
        assert after_a_session_died().left() == 1
    assert (run.outcome, folder.is_dir()) == ("paused", True)
    last = after_a_session_died()
    assert last.left() == 0
    assert last._turn() is None  # the policy knows of it
    (kept,) = study.trials
    assert (kept.state, kept.user_attrs["outcome"]) == (TrialState.FAIL, "failed")
    assert kept.user_attrs["reason"] == run.reason == "11 sessions in turn died in its epoch 4"
    assert (run.outcome, folder.is_dir()) == ("failed", False)


def pausing_session(
    name: str, storage: optuna.storages.BaseStorage, tmp_path: Path, tracker: MemoryTracker
) -> optuna.Study:
    """Run a study of 12 trials until some wait and its session dies; return it."""

    def die_at_the_fourth_pause(event: Event | None) -> None:
        if isinstance(event, Finished) and event.ended.number == 4:
            raise DeadError

    config = StudyConfig.model_validate({"name": name, **PAUSING, "trials": 12})
    return session(config, storage, tmp_path, tracker, notify=die_at_the_fourth_pause)[0]


@pytest.mark.parametrize(
    "pruner",
    [{"name": "median"}, {"name": "pausing_halving", "min_epochs": 8, "straight": 0.0}],
    ids=["stops", "pauses"],
)
def test_trials_that_wait_go_on_under_another_pruner(
    pruner: dict[str, Any], storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    study = pausing_session("switched", storage, tmp_path, tracker)
    waiting = [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
    assert len(waiting) >= 2
    at_rung = {len(study.trials[number].intermediate_values) for number in waiting}
    config = StudyConfig.model_validate({"name": "switched", **PAUSING, "trials": 12, "pruner": pruner})
    again, is_over = session(config, storage, tmp_path, tracker)
    assert is_over
    assert all(len(again.trials[number].intermediate_values) > max(at_rung) for number in waiting)


def test_trials_that_wait_when_the_budget_is_spent_end_for_that_reason(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    study = pausing_session("spent", storage, tmp_path, tracker)
    waiting = [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
    budget = {"pruner": {"name": "median"}, "max_epochs": 1}
    config = StudyConfig.model_validate({"name": "spent", **PAUSING, "trials": 12, **budget})
    again, _ = session(config, storage, tmp_path, tracker)
    reasons = [again.trials[number].user_attrs["reason"] for number in waiting]
    assert all("the budget is 1 (max_epochs)" in reason for reason in reasons)
    assert not any("others were better" in reason for reason in reasons)


class Dying(Stepwise):
    """A worker that takes an hour a leg, and dies in the sixth epoch of the first trial that had paused."""

    deaths = 0

    def answer(self, verdict: Verdict) -> None:
        assert self.job is not None
        before = 0.0 if self.job.before is None else self.job.before.seconds
        self._at += 1
        if verdict != "continue":
            self._end.send(TrialEnded(self.job.number, STOPPED[verdict], "", before + 3600.0))
        elif before and not self.deaths:
            self.deaths += 1
            self._end.send(WorkerDied(self.job, "", "killed"))
        elif self._at == EPOCHS:
            self._end.send(
                TrialEnded(self.job.number, "complete", "", before + 3600.0, (0.5,), metrics={"kl_all": 0.5})
            )
        else:
            self._say(self.job)

    def receive(self) -> Any:
        found = super().receive()
        if isinstance(found, WorkerDied):
            self.job = None
        return found


def test_the_hours_that_were_spent_never_become_fewer_though_a_worker_dies(
    storage: optuna.storages.BaseStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(0, 60)
    monkeypatch.setattr(coordinator_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(coordinator_module, "_PAUSE_S", 0.0)
    config = StudyConfig.model_validate({"name": "hours", **PAUSING, "trials": 8, "max_hours": 100.0})
    hours: list[float] = []

    def look(event: Event | None) -> None:
        if isinstance(event, Finished):
            hours.append(StudyHistory(config, tuple(study.get_trials(deepcopy=False))).spent[1])

    tracker = MemoryTracker()
    study, coordinator = coordinated(config, storage, tmp_path, tracker, notify=look, peers=None)
    assert coordinator.run([Dying(0, tracker)])
    (dead,) = (trial for trial in study.trials if trial.user_attrs["outcome"] == "interrupted")
    assert dead.user_attrs["seconds"] > dead.user_attrs["paused_seconds"] == 3600.0
    assert hours == sorted(hours)


def test_the_order_in_which_trials_were_trained_is_the_same_in_every_time_zone(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    orders = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
                patch.setenv("TZ", zone)
                time.tzset()
                if not orders:
                    study = pausing_session("zones", storage, tmp_path, MemoryTracker())
                    config = StudyConfig.model_validate({"name": "zones", **PAUSING, "trials": 12})
                again = optuna.load_study(study_name=study.study_name, storage=storage)
                history = StudyHistory(config, tuple(again.get_trials(deepcopy=False)))
                orders.append([trial.number for trial in history.as_last_trained])
    finally:
        time.tzset()
    assert orders[0] == orders[1] == orders[2] != []
