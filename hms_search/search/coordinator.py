"""The coordinator: the one process that owns a study. It asks, hands trials to workers, judges each epoch, and tells.

    ask --> Job --> worker --> EpochEnded --> verdict --> ... --> TrialEnded --> tell

Under a policy that pauses trials, a worker goes on with one of them or starts another, whatever the policy finds more
promising; those that still wait at the end count as pruned.

A trial counts towards the study's total when it completed, was pruned or failed by itself. One that was interrupted (by
Ctrl-C, a time limit or a crash) does not: it is told as failed, and its parameters are queued again.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import optuna
from optuna.trial import TrialState

from hms_search.errors import CheckpointError, ConfigError
from hms_search.search.asking import Asker, is_baseline
from hms_search.search.doctor import live_findings
from hms_search.search.events import Event, Finished, Judged, Notice, Submitted
from hms_search.search.evidence import is_evidence
from hms_search.search.halving import Resume, Start
from hms_search.search.history import StudyHistory
from hms_search.search.ledger import SAME_KEY, Ledger, Surroundings, counts
from hms_search.search.policy import policy_of
from hms_search.search.racing import Race
from hms_search.search.samplers import exhausted
from hms_search.search.schedules import Adaptive
from hms_search.search.stopping import PAUSED_KEY, reason_to_stop
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Ending, EpochEnded, TrialEnded, TrialStarted, Verdict
from hms_search.search.workers import Worker, WorkerDied, ready_workers

_HOPELESS = 3
_OFTEN_UP_TO = 100


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
        self._config, self._study, self._notify = config, study, notify
        self._ledger = Ledger(config, study, around)
        self._shared_patients = around.shared_patients
        self._asker = Asker(config, study, tags=around.tags, notify=notify)
        self._running: dict[int, optuna.Trial] = {}
        self._paused: dict[int, optuna.Trial] = {}
        self._interrupts = 0
        self._deadline = time.monotonic() + config.timeout_s if config.timeout_s is not None else None
        self._total = len(config.steps)
        self._policy = policy_of(
            config.pruner,
            steps=config.steps,
            study_name=config.name,
            direction=config.learned.direction,
            seed=config.seed,
            race=Race(config.steps, around.ground, around.work / "best.npz"),
            keep=config.schedule.keep if isinstance(config.schedule, Adaptive) else None,
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
                if not busy and (self._stopping() or not self._take_up_strays()):
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

    def left(self) -> int:
        """Return how many trials may be started or gone on with."""
        return self._ledger.remaining() + len(self._paused)

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
        if self._ledger.remaining() == 0:
            return False
        trials = self._ledger.trials
        if exhausted(self._study.sampler, self._study) and not any(t.state == TrialState.WAITING for t in trials):
            return False
        done = [trial for trial in trials if trial.state.is_finished() and counts(trial)]
        if len(done) >= _HOPELESS and all(trial.state == TrialState.FAIL for trial in done):
            reason = done[-1].user_attrs.get("reason", "unknown")
            self._alarm(f"all of the first {len(done)} trials failed, the last because: {reason}. No more are started")
            return False
        return True

    def _take(self, turn: Start | Resume, worker: Worker) -> None:
        goes_on = isinstance(turn, Resume)
        trial = self._paused.pop(turn.number) if isinstance(turn, Resume) else self._study.ask()
        self._running[trial.number] = trial
        try:
            job = self._asker.job(trial, self._ledger.before(trial) if goes_on else None)
        except (ConfigError, CheckpointError) as error:
            self._tell(self._ledger.refused(trial, str(error)))
            return
        twin = None if goes_on else self._ledger.twin(trial)
        if twin is not None:
            del self._running[trial.number]
            self._notify(Finished(self._ledger.answer(trial, twin)))
            return
        baseline = is_baseline(trial)
        self._policy.begin(trial.number, turn.until, exempt=baseline)
        worker.submit(job)
        self._notify(Submitted(job.number, worker.slot, job.params, baseline))

    # --- listening -----------------------------------------------------------------------------------------------

    def _listen(self, worker: Worker) -> None:
        message = worker.receive()
        if isinstance(message, TrialStarted):
            self._ledger.started(self._running[message.number], message.run_id)
        elif isinstance(message, EpochEnded):
            verdict = self._verdict(message)
            worker.answer(verdict)
            self._notify(Judged(message, verdict))
        elif isinstance(message, TrialEnded):
            self._tell(message)
        elif isinstance(message, WorkerDied):
            self._bury(message, message.reason, died=True)

    def _verdict(self, message: EpochEnded) -> Verdict:
        if not message.judged:
            return "interrupt" if self._stopping() else "continue"
        trial, epoch = self._running[message.number], message.epoch
        self._ledger.reached(trial, epoch.step, epoch.value)
        judgement = self._policy.epoch_ended(message.number, epoch.step, epoch.value, epoch.losses)
        if epoch.step + 1 == self._total:
            return "continue"
        if self._stopping():
            return "interrupt"
        return judgement

    def _tell(self, ended: TrialEnded, *, died: bool = False) -> None:
        trial = self._running.pop(ended.number)
        if ended.outcome == "paused":
            self._ledger.pause(trial, ended)
            self._paused[ended.number] = trial
        else:
            self._policy.trial_ended(ended.number, ended.outcome)
            self._ledger.end(trial, ended, spared_at=self._policy.spared_at(ended.number), died=died)
        self._notify(Finished(ended))
        self._look()

    def _bury(self, dead: WorkerDied, reason: str, *, died: bool = False) -> None:
        """End the trial of a process that was killed or that ``died``; it is run again unless it may be why."""
        number = dead.job.number
        again = not died or self._ledger.may_try_again(self._running[number])
        self._ledger.end_orphan(dead.run_id, reason, failed=not again)
        ending: Ending = "interrupted" if again else "failed"
        self._tell(TrialEnded(number, ending, dead.run_id, seconds=0.0, reason=reason), died=died)

    def _end_paused(self) -> None:
        for number, trial in sorted(self._paused.items()):
            self._ledger.end_waiting(trial, self._total)
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
                self._bury(died, "stopped at once")

    def recover(self) -> None:
        """Take up a study where the last session left it: orphans end and are queued again, the judge catches up."""
        self._ledger.begin()
        for trial in self._ledger.trials:
            if trial.state == TrialState.RUNNING and PAUSED_KEY in trial.user_attrs:
                self._paused[trial.number] = self._ledger.take_up(trial)
                self._policy.replay(trial)
            elif is_evidence(trial) and SAME_KEY not in trial.user_attrs:
                self._policy.replay(trial)
        self._take_up_strays()

    def _take_up_strays(self) -> bool:
        """Queue the trials again that are running in nobody's hands; say whether there are some.

        A session that died leaves such trials, and a database whose connection broke as it began one.
        """
        own = self._running.keys() | self._paused.keys()
        strays = [one for one in self._ledger.trials if one.state == TrialState.RUNNING and one.number not in own]
        for trial in strays:
            self._notify(Notice(f"trial {trial.number} was left running by a session that died; it is run again"))
            self._ledger.run_again(trial)
        return bool(strays)

    # --- watching --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Say what is going wrong, each finding once, and find out whether the study has done enough."""
        history = StudyHistory(self._config, tuple(self._ledger.trials), self._shared_patients)
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
