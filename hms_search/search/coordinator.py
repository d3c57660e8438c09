"""The coordinator: the one process that owns a study. It asks, hands trials to workers, judges each epoch, and tells.

    ask --> Job --> worker --> EpochEnded --> verdict --> ... --> TrialEnded --> tell

Under a policy that pauses trials, a worker goes on with one of them or starts another, whatever the policy finds more
promising; those that still wait at the end count as pruned.

A trial counts towards the study's total when it completed, was pruned or failed by itself. One that was interrupted (by
Ctrl-C, a time limit or a crash) does not: it is told as failed, and its parameters are queued again.
"""

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.errors import CheckpointError, ConfigError
from hms_search.search.asking import Asker, is_baseline, origin_of
from hms_search.search.dashboard import attach_trial
from hms_search.search.doctor import live_findings
from hms_search.search.events import Event, Finished, Judged, Notice, Submitted
from hms_search.search.evidence import OUTCOME_KEY, carried_from
from hms_search.search.halving import Resume, Start
from hms_search.search.history import StudyHistory
from hms_search.search.policy import policy_of
from hms_search.search.report import KEPT_METRICS, SPARED_KEY
from hms_search.search.samplers import exhausted
from hms_search.search.stopping import PAUSED_KEY, reason_to_stop
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Before, Ending, EpochEnded, TrialEnded, TrialStarted, Verdict, trial_folder
from hms_search.search.workers import Worker, WorkerDied, ready_workers
from hms_search.tracking import Tracker

_RUN_KEY = "mlflow_run_id"
_HOPELESS = 3
_OFTEN_UP_TO = 100


@dataclass(frozen=True)
class Surroundings:
    """Where a study's runs, pictures and unfinished trials go; ``tags`` are those of all its runs."""

    tracker: Tracker
    parent_id: str
    tags: Mapping[str, str]
    pictures: Path
    work: Path


class Coordinator:
    """Runs a study to its budget over a set of workers.

    Parameters
    ----------
    config
        The study. ``trials`` is the study's total over all sessions, ``timeout_s`` this session's.
    study
        The Optuna study, opened under its contract; nobody else writes to it.
    notify
        Called with each event, and with None at least every half second.
    """

    def __init__(
        self,
        config: StudyConfig,
        study: optuna.Study,
        around: Surroundings,
        *,
        notify: Callable[[Event], None],
    ) -> None:
        self._config, self._study, self._around, self._notify = config, study, around, notify
        self._asker = Asker(config, study, tags=around.tags, notify=notify)
        self._running: dict[int, optuna.Trial] = {}
        self._paused: dict[int, optuna.Trial] = {}
        self._interrupts = 0
        self._deadline = time.monotonic() + config.timeout_s if config.timeout_s is not None else None
        n_folds = len(config.folds.use or range(config.folds.n_folds))
        epochs = config.space.base.training.epochs
        self._total = n_folds * epochs
        self._policy = policy_of(
            config.pruner,
            n_folds=n_folds,
            epochs=epochs,
            study_name=config.name,
            direction=config.learned.direction,
            seed=config.seed,
        )
        self._said_stopping = False
        self._enough = ""
        self._said: set[str] = set()

    def run(self, workers: list[Worker]) -> bool:
        """Run trials until the budget is spent or the user stops it; :meth:`recover` comes first.

        Return whether the study is over.
        """
        self._look()
        with self._interruptible():
            while True:
                self._hand_out(workers)
                busy = [worker for worker in workers if worker.job is not None]
                if not busy:
                    break
                if self._interrupts > 1:
                    self._kill(busy)
                    break
                self._say_stopping()
                for worker in ready_workers(busy, timeout_s=0.5):
                    self._listen(worker)
                self._notify(None)
        if not self._stopping():
            self._end_paused()
        return not self._stopping()

    def remaining(self) -> int:
        """Return how many more trials the study's total allows to start."""
        return max(0, self._config.trials - sum(counts(trial) for trial in self._study.get_trials(deepcopy=False)))

    def left(self) -> int:
        """Return how many trials may be started or gone on with."""
        return self.remaining() + len(self._paused)

    # --- handing out ---------------------------------------------------------------------------------------------

    def _hand_out(self, workers: list[Worker]) -> None:
        for worker in workers:
            while worker.job is None and (turn := self._turn()) is not None:
                self._take(turn, worker)

    def _turn(self) -> Start | Resume | None:
        if self._stopping() or self._enough:
            return None
        return self._policy.next(tuple(self._running), may_start=self._may_start())

    def _may_start(self) -> bool:
        if self.remaining() == 0:
            return False
        trials = self._study.get_trials(deepcopy=False)
        if exhausted(self._study.sampler, self._study) and not any(t.state == TrialState.WAITING for t in trials):
            return False
        done = [trial for trial in trials if trial.state.is_finished() and counts(trial)]
        if len(done) >= _HOPELESS and all(trial.state == TrialState.FAIL for trial in done):
            reason = done[-1].user_attrs.get("reason", "unknown")
            self._alarm(f"all of the first {len(done)} trials failed, the last because: {reason}. No more are started")
            return False
        return True

    def _take(self, turn: Start | Resume, worker: Worker) -> None:
        before = None
        if isinstance(turn, Resume):
            trial = self._paused.pop(turn.number)
            stored = self._study._storage.get_trial(trial._trial_id)
            seconds = stored.user_attrs[PAUSED_KEY]
            before = Before(stored.user_attrs[_RUN_KEY], len(stored.intermediate_values), seconds)
        else:
            trial = self._study.ask()
        self._running[trial.number] = trial
        try:
            job = self._asker.job(trial, before)
        except (ConfigError, CheckpointError) as error:
            self._refuse(trial, str(error))
            return
        baseline = is_baseline(trial)
        self._policy.begin(trial.number, turn.until, exempt=baseline)
        worker.submit(job)
        self._notify(Submitted(job.number, worker.slot, job.params, baseline))

    # --- listening -----------------------------------------------------------------------------------------------

    def _listen(self, worker: Worker) -> None:
        message = worker.receive()
        if isinstance(message, TrialStarted):
            self._running[message.number].set_user_attr(_RUN_KEY, message.run_id)
        elif isinstance(message, EpochEnded):
            verdict = self._verdict(message)
            worker.answer(verdict)
            if message.judged:
                self._notify(Judged(message, verdict))
        elif isinstance(message, TrialEnded):
            self._tell(message)
        elif isinstance(message, WorkerDied):
            self._bury(message, "failed", message.reason)

    def _verdict(self, message: EpochEnded) -> Verdict:
        if not message.judged:
            return "interrupt" if self._stopping() else "continue"
        trial, epoch = self._running[message.number], message.epoch
        trial.report(epoch.value, epoch.step)
        judgement = self._policy.epoch_ended(message.number, epoch.step, epoch.value)
        if epoch.step + 1 == self._total:
            return "continue"
        if self._stopping():
            return "interrupt"
        return judgement

    def _tell(self, ended: TrialEnded) -> None:
        trial = self._running.pop(ended.number)
        if ended.outcome == "paused":
            self._pause(trial, ended)
            return
        self._policy.trial_ended(ended.number, ended.outcome)
        spared_at = self._policy.spared_at(ended.number)
        if ended.outcome == "complete" and spared_at is not None:
            trial.set_user_attr(SPARED_KEY, spared_at)
        for name, value in _attributes(ended).items():
            trial.set_user_attr(name, value)
        self._attach(trial, ended)
        if ended.outcome == "complete":
            self._study.tell(trial, ended.value)
        elif ended.outcome == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._fail(trial, ended.outcome)
        self._notify(Finished(ended))
        self._look()

    def _pause(self, trial: optuna.Trial, ended: TrialEnded) -> None:
        trial.set_user_attr(PAUSED_KEY, round(ended.seconds, 2))
        self._attach(trial, ended)
        self._paused[ended.number] = trial
        self._notify(Finished(ended))
        self._look()

    def _attach(self, trial: optuna.Trial, ended: TrialEnded) -> None:
        attach_trial(self._study, trial, note=_note(ended), curve=ended.curve, pictures=self._around.pictures)

    def _bury(self, died: WorkerDied, outcome: Ending, reason: str) -> None:
        if died.run_id:
            self._around.tracker.end_orphan(died.run_id, reason, failed=outcome == "failed")
        self._tell(TrialEnded(died.job.number, outcome, died.run_id, seconds=0.0, reason=reason))

    def _fail(self, trial: optuna.Trial, outcome: Ending) -> None:
        self._study.tell(trial, state=TrialState.FAIL)
        if outcome == "interrupted":
            self._queue_again(trial.number, trial.params, trial.user_attrs)

    def _refuse(self, trial: optuna.Trial, reason: str) -> None:
        run = self._around.tracker.start_run(
            f"trial {trial.number}",
            parent_id=self._around.parent_id,
            params=trial.params,
            tags={**self._around.tags, "trial": str(trial.number)},
            texts={},
        )
        run.finish("failed", reason=reason, metrics={}, files={})
        self._tell(TrialEnded(trial.number, "failed", run.id, seconds=0.0, reason=reason))

    def _end_paused(self) -> None:
        """End the trials that still wait when the study is over: nothing promoted them, so they count as pruned."""
        for number, trial in sorted(self._paused.items()):
            stored = self._study._storage.get_trial(trial._trial_id)
            steps = len(stored.intermediate_values)
            reason = f"paused after {steps} of {self._total} epochs; others were better there"
            run = self._around.tracker.resume_run(stored.user_attrs[_RUN_KEY])
            run.finish("pruned", reason=reason, metrics={}, files={})
            shutil.rmtree(trial_folder(self._around.work, origin_of(stored)), ignore_errors=True)
            trial.set_user_attr(OUTCOME_KEY, "pruned")
            trial.set_user_attr("reason", reason)
            trial.set_user_attr("seconds", stored.user_attrs[PAUSED_KEY])
            self._study.tell(trial, state=TrialState.PRUNED)
            self._policy.trial_ended(number, "pruned")
        self._paused.clear()

    # --- stopping and recovering -----------------------------------------------------------------------------------

    def _stopping(self) -> bool:
        return self._interrupts > 0 or (self._deadline is not None and time.monotonic() > self._deadline)

    def _say_stopping(self) -> None:
        if self._stopping() and not self._said_stopping:
            self._said_stopping = True
            why = "stopping" if self._interrupts else "the time is up: stopping"
            self._notify(Notice(f"{why} after the current epoch; press Ctrl-C again to stop at once"))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        def count(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
            self._interrupts += 2 if signum == signal.SIGTERM else 1

        before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _kill(self, busy: list[Worker]) -> None:
        for worker in busy:
            died = worker.kill()
            if died is not None:
                self._bury(died, "interrupted", "stopped at once")

    def recover(self) -> None:
        """Take up a study where the last session left it: orphans end and are queued again, the judge catches up."""
        trials = self._study.get_trials(deepcopy=False)
        if not trials:
            self._study.enqueue_trial(self._config.space.baseline(), user_attrs={"baseline": True})
            return
        for trial in trials:
            if trial.state == TrialState.RUNNING and PAUSED_KEY in trial.user_attrs:
                self._take_up(trial)
            elif trial.state == TrialState.RUNNING:
                self._run_again(trial)
            elif trial.state.is_finished() and trial.user_attrs.get(OUTCOME_KEY) != "interrupted":
                self._policy.replay(trial)

    def _take_up(self, trial: FrozenTrial) -> None:
        """Let a trial wait that did so before, or that had gone on when the session died."""
        self._around.tracker.resume_run(trial.user_attrs[_RUN_KEY]).pause()
        self._paused[trial.number] = optuna.Trial(self._study, trial._trial_id)
        self._policy.replay(trial)

    def _run_again(self, trial: FrozenTrial) -> None:
        """End a trial whose session died, and queue its parameters."""
        self._notify(Notice(f"trial {trial.number} was left running by a session that died; it is run again"))
        if _RUN_KEY in trial.user_attrs:
            self._around.tracker.end_orphan(trial.user_attrs[_RUN_KEY], "its session died", failed=False)
        self._study._storage.set_trial_user_attr(trial._trial_id, OUTCOME_KEY, "interrupted")
        self._study.tell(trial.number, state=TrialState.FAIL)
        self._queue_again(trial.number, trial.params, trial.user_attrs)

    def _queue_again(self, number: int, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> None:
        kept = {"baseline": True} if attrs.get("baseline") else {}
        self._study.enqueue_trial(dict(params), user_attrs={**kept, "retry_of": attrs.get("retry_of", number)})

    # --- watching --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Say what is going wrong, each finding once, and find out whether the study has done enough."""
        history = StudyHistory(self._config, tuple(self._study.get_trials(deepcopy=False)))
        count = len(history.trials)
        looked_at = count % (1 + count // _OFTEN_UP_TO) == 0  # a look takes 0.05 ms per trial
        for finding in live_findings(history) if looked_at else ():
            if finding.what not in self._said:
                self._said.add(finding.what)
                said = f"{finding.what}: {finding.evidence}. {finding.change}"
                self._notify(Notice(said, warning=finding.severity != "note"))
        enough = reason_to_stop(self._config, history)
        if enough and not self._enough:
            self._notify(Notice(f"no more trials are started: {enough}"))
        self._enough = enough

    def _alarm(self, text: str) -> None:
        self._notify(Notice(text, warning=True))


def counts(trial: FrozenTrial) -> bool:
    """Say whether a trial counts towards the study's total: it was run in this study, and not interrupted."""
    if carried_from(trial) is not None:
        return False
    if trial.state == TrialState.FAIL:
        return trial.user_attrs.get(OUTCOME_KEY) != "interrupted"
    return trial.state != TrialState.WAITING


def _attributes(ended: TrialEnded) -> dict[str, Any]:
    """Return what the study keeps of a trial: columns of optuna-dashboard's table; the rest is in its MLflow run."""
    kept: dict[str, Any] = {name: ended.metrics[name] for name in KEPT_METRICS if name in ended.metrics}
    if ended.fold_values:
        kept["folds"] = list(ended.fold_values)
    if ended.reason:
        kept["reason"] = ended.reason
    return {OUTCOME_KEY: ended.outcome, "seconds": round(ended.seconds, 2), **kept}


def _note(ended: TrialEnded) -> str:
    lines = [f"MLflow run `{ended.run_id}`", f"outcome: {ended.outcome}{f' ({ended.reason})' if ended.reason else ''}"]
    lines += [f"fold {position}: {value:.4f}" for position, value in enumerate(ended.fold_values)]
    return "\n\n".join(lines)
