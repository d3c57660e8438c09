"""The coordinator: the process that owns a study, one of several where they share it on a database server.

It asks, hands trials to workers, judges each epoch, and tells:

    ask --> Job --> worker --> EpochEnded --> verdict --> ... --> TrialEnded --> tell

Under a policy that pauses trials, a worker goes on with one of them or starts another, whatever the policy finds more
promising; those that still wait at the end count as pruned.

With others it shares the budget, the record and the paused trials; each takes in what the others' trials reached before
it decides, and takes up the trials of those that died (:mod:`hms_search.search.peers`).

A trial counts towards the study's total when it completed, was pruned or failed by itself. One that was interrupted (by
Ctrl-C, a time limit or a crash) does not: it is told as failed, and its parameters are queued again.
"""

import math
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import optuna
from optuna.trial import TrialState

from hms_search.errors import CheckpointError, ConfigError, StudyError
from hms_search.search.asking import Asker
from hms_search.search.doctor import live_findings
from hms_search.search.draws import PlacedSampler
from hms_search.search.events import Event, Finished, Judged, Notice, Submitted
from hms_search.search.halving import Resume, Start
from hms_search.search.history import StudyHistory
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.outcomes import is_baseline
from hms_search.search.patient_storage import not_waiting_once, undisturbed
from hms_search.search.peers import Alone, Peers
from hms_search.search.policy import policy_of
from hms_search.search.racing import Race
from hms_search.search.samplers import exhausted
from hms_search.search.schedules import Adaptive
from hms_search.search.slots import Slot, ready_slots
from hms_search.search.standing import Standing
from hms_search.search.stopping import reason_to_stop
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Ending, EpochEnded, TrialEnded, TrialStarted, Verdict
from hms_search.search.workers import WorkerDied

_AT_ONCE = 16
"""So many trials begin or end by the same statements; of more, the first need not wait for the last."""
_HOPELESS = 3
_PAUSE_S = 2.0
"""How long a worker that has nothing to do waits for what other sessions leave."""
_OFTEN_UP_TO = 25


class Coordinator:
    """Runs a study to its budget over a set of workers.

    Parameters
    ----------
    config
        The study. ``trials`` is the study's total over all sessions.
    study
        The Optuna study, opened under its contract; nobody but the coordinators of its sessions writes to it.
    notify
        Called with each event, and with None at least every half second.
    peers
        The sessions that share the study; without them this is the only one.
    deadline
        When this session is to stop, by the monotonic clock.
    """

    def __init__(
        self,
        config: StudyConfig,
        study: optuna.Study,
        around: Surroundings,
        *,
        notify: Callable[[Event], None],
        peers: Peers | None = None,
        deadline: float = math.inf,
    ) -> None:
        self._config, self._study, self._notify, self._deadline = config, study, notify, deadline
        self._ledger = Ledger(config, study, around)
        self._shared_patients = around.shared_patients
        self._asker = Asker(config, study, tags=around.tags, notify=notify)
        self._peers: Peers = peers or Alone()
        self._running: dict[int, optuna.Trial] = {}
        self._since: dict[int, float] = {}
        """When each trial was last handed to a worker, by number."""
        self._next_look = 0.0
        self._interrupts = 0
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
        self._standing = Standing(self._ledger, self._policy, self._peers, notify=notify)
        self._trials = self._standing.record
        if isinstance(study.sampler, PlacedSampler):
            study.sampler.trials_before = self._trials.before
        self._said_stopping = self._said_hopeless = False
        self._spent, self._enough = (0, 0.0), ""
        self._said: set[str] = set()
        self._looked_at = -1

    def run(self, workers: Sequence[Slot]) -> bool:
        """Run trials until the budget is spent or the user stops it; :meth:`recover` comes first.

        Return whether the study is over. Raises StudyError where other sessions took this one for dead, or where the
        user stops it while its database server is away.
        """
        try:
            with self._interruptible(), not_waiting_once(lambda: self._interrupts > 0):
                self._run(workers)
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise StudyError(f"a trial of this session was ended by another one ({error}); start it again") from error
        return not self._stopping()

    def _run(self, workers: Sequence[Slot]) -> None:
        while True:
            self._hand_out(workers)
            busy = [worker for worker in workers if worker.job is not None]
            if not busy and (self._stopping() or self._is_over(workers)):
                break
            if self._interrupts > 1:
                self._kill(busy)
                break
            self._say_stopping()
            ready = ready_slots([worker for worker in workers if not worker.idle], timeout_s=0.5)
            for some in [ready[start : start + _AT_ONCE] for start in range(0, len(ready), _AT_ONCE)]:
                self._listen(some)
                self._hand_out(workers)
            self._notify(None)

    def _is_over(self, workers: Sequence[Slot]) -> bool:
        """Say whether nothing more is trained; what still waits has then been ended."""
        return not self._more_may_come(workers) and (self._has_ended_paused() or not workers)

    def _more_may_come(self, workers: Sequence[Slot]) -> bool:
        """Say whether others are awaited, or workers that all wait for a machine have trials to come."""
        if not workers or self._awaits_others():
            return bool(workers)
        return not any(worker.idle for worker in workers) and self._turn() is not None

    def _awaits_others(self) -> bool:
        """Say whether a trial may fail elsewhere, or another session is to go on with one whose checkpoint it has."""
        away = self._standing.away
        return bool(self._standing.elsewhere or (away and not self._turn() and self._turn(away=())))

    def left(self) -> int:
        """Return how many trials may be started or gone on with; those that run elsewhere may fail there."""
        return self._trials.remaining(self._config.trials) + len(self._standing.paused) + len(self._standing.elsewhere)

    # --- handing out ---------------------------------------------------------------------------------------------

    def _hand_out(self, workers: Sequence[Slot]) -> None:
        while not self._stopping() and (idle := [worker for worker in workers if worker.idle]):
            taken = self._take(min(len(idle), _AT_ONCE))
            if not taken:
                break
            for (trial, turn, place), worker in zip(taken, idle, strict=False):
                self._submit(trial, turn, place, worker)

    def _take(self, most: int) -> list[tuple[optuna.Trial, Start | Resume, int]]:
        """Return trials that are now this session's to train, each with its place; none where there are none now."""
        taken: list[tuple[optuna.Trial, Start | Resume, int]] = []
        if time.monotonic() < self._next_look:
            return taken
        with self._peers.exclusively(), undisturbed(self._study._storage):
            self._catch_up()
            while len(taken) < most and (turn := self._turn()) is not None:
                if isinstance(turn, Resume):
                    trial = optuna.Trial(self._study, self._standing.paused[turn.number]._trial_id)
                else:
                    trial = self._ask()
                    self._trials.begun(trial)
                self._running[trial.number] = trial
                taken.append((trial, turn, self._trials.place(trial)))
            if taken:
                places = {trial.number: place for trial, _, place in taken}
                self._ledger.own([trial for trial, _, _ in taken], self._peers.session, places)
            else:
                self._next_look = time.monotonic() + (_PAUSE_S if self._awaits_others() else math.inf)
        return taken

    def _ask(self) -> optuna.Trial:
        """Return the next trial; one that was interrupted comes before what else is queued."""
        again = self._trials.to_repeat
        if again is None or not self._study._storage.set_trial_state_values(again._trial_id, TrialState.RUNNING):
            return self._study.ask()
        return optuna.Trial(self._study, again._trial_id)

    def _turn(self, *, away: Collection[int] | None = None) -> Start | Resume | None:
        going = self._running.keys() | self._standing.elsewhere
        may_start = self._may_start()
        unseen = self._standing.away if away is None else away
        return self._policy.next(tuple(going), may_start=may_start, may_promote=not self._enough, away=unseen)

    def _may_start(self) -> bool:
        if self._trials.remaining(self._config.trials) == 0 or (self._enough and self._trials.to_repeat is None):
            return False
        if exhausted(self._study.sampler, self._study) and not self._trials.queued:
            return False
        reason = self._trials.why_hopeless(_HOPELESS)
        if reason is not None:
            if not self._said_hopeless:
                self._said_hopeless = True
                count = self._trials.counted
                text = (
                    f"all of the first {count} trials failed, the last because: {reason}. No more are started; "
                    "where that is mended, run it again"
                )
                self._notify(Notice(text, warning=True))
            return False
        return True

    def _submit(self, trial: optuna.Trial, turn: Start | Resume, place: int, worker: Slot) -> None:
        goes_on = isinstance(turn, Resume)
        try:
            job = self._asker.job(trial, place, self._ledger.before(trial) if goes_on else None)
        except (ConfigError, CheckpointError) as error:
            self._tell([self._ledger.refused(trial, str(error))])
            return
        twin = None if goes_on else self._trials.twin(trial.params)
        if twin is not None:
            del self._running[trial.number]
            self._notify(Finished(self._ledger.answer(trial, twin)))
            return
        baseline = is_baseline(trial)
        beyond = 0 if job.origin == job.number else self._trials.was_beyond(job.origin)
        self._policy.begin(trial.number, turn.until, exempt=baseline, place=place, beyond=beyond)
        worker.submit(job)
        self._since[job.number] = now = time.monotonic()
        to_come, seconds_left = self._trials.remaining(self._config.trials), max(0.0, self._deadline - now)
        self._notify(Submitted(job.number, worker.slot, job.params, baseline, to_come, *self._spent, seconds_left))

    # --- listening -----------------------------------------------------------------------------------------------

    def _listen(self, ready: Sequence[Slot]) -> None:
        """Take in what workers have to say; what they began, reached and ended is kept for all of them at once.

        Those that wait for a verdict are answered first. That a trial has started may be heard after its end, as
        another thread of the worker says so.
        """
        said = [(worker, worker.receive()) for worker in ready]
        running, messages = self._running, [message for _, message in said]
        started = [message for message in messages if isinstance(message, TrialStarted)]
        self._ledger.started([(running[one.number], one.run_id) for one in started if one.number in running])
        epochs = [message for message in messages if isinstance(message, EpochEnded) and message.judged]
        self._ledger.reached([(running[one.number], one.epoch.step, one.epoch.value) for one in epochs])
        for worker, message in said:
            if isinstance(message, EpochEnded):
                verdict = self._verdict(message)
                worker.answer(verdict)
                self._notify(Judged(message, verdict))
        self._tell([message for message in messages if isinstance(message, TrialEnded)])
        for message in messages:
            if isinstance(message, WorkerDied):
                self._bury(message, message.reason, died=True)

    def _verdict(self, message: EpochEnded) -> Verdict:
        if not message.judged:
            return "interrupt" if self._stopping() else "continue"
        epoch = message.epoch
        self._standing.reached(message.number)
        judgement = self._policy.epoch_ended(message.number, epoch.step, epoch.value, epoch.losses)
        if epoch.step + 1 == self._total:
            return "continue"
        if self._stopping():
            return "interrupt"
        return judgement

    def _tell(self, ended: Sequence[TrialEnded], *, died: bool = False) -> None:
        """Take in that trials ended, or paused."""
        if not ended:
            return
        self._peers.check()
        trials = [(self._running.pop(one.number), one) for one in ended]
        self._ledger.pause(
            [(trial, one) for trial, one in trials if one.outcome == "paused"],
            home=self._peers.homes[self._peers.session],
        )
        over = [(trial, one) for trial, one in trials if one.outcome != "paused"]
        for _, one in over:
            self._policy.trial_ended(one.number, one.outcome)
        self._ledger.end(over, spared_at={one.number: self._policy.spared_at(one.number) for _, one in over}, died=died)
        for _, one in over:
            self._standing.ended(one.number)
        for one in ended:
            self._notify(Finished(one))
        self._next_look = 0.0

    def _bury(self, dead: WorkerDied, reason: str, *, died: bool = False) -> None:
        """End the trial of a process that was killed or that ``died``; it is run again unless it may be why."""
        self._peers.check()  # else its run may be another session's by now
        number = dead.job.number
        again = not died or self._ledger.may_try_again(self._running[number])
        run_id = dead.run_id or dead.job.run_id  # it may have died before it said that it went on
        self._ledger.end_orphan(run_id, reason, failed=not again, leg=dead.job.leg + 1)
        ending: Ending = "interrupted" if again else "failed"
        seconds = dead.job.seconds + time.monotonic() - self._since[number]
        self._tell([TrialEnded(number, ending, dead.run_id, seconds, reason=reason)], died=died)

    def _has_ended_paused(self) -> bool:
        """End the trials that wait, which count as pruned, and return True; False where somebody trains after all."""
        with self._peers.exclusively():
            self._catch_up()
            self._next_look = 0.0
            if self._awaits_others() or self._turn() is not None:
                return False
            why = self._enough or "others were better there"
            for number, trial in sorted(self._standing.paused.items()):
                self._ledger.end_waiting(trial, self._total, why)
                self._policy.trial_ended(number, "pruned")
                self._standing.ended(number)
            return True

    def _catch_up(self) -> None:
        self._standing.catch_up(self._running)
        self._look()

    # --- stopping and recovering -----------------------------------------------------------------------------------

    def _stopping(self) -> bool:
        return self._interrupts > 0 or time.monotonic() > self._deadline

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

    def _kill(self, busy: list[Slot]) -> None:
        """Kill the workers whose trials still run when what all have said by now is taken in."""

        def running() -> list[Slot]:
            return [worker for worker in busy if worker.job is not None]

        while ready := ready_slots(running(), timeout_s=0):
            self._listen(ready)
        for worker in running():
            died = worker.kill()
            if died is not None:
                self._bury(died, "stopped at once")

    def recover(self) -> None:
        """Take up a study where the last session left it: orphans end and are queued again, the judge catches up."""
        with self._peers.exclusively():
            self._ledger.begin()
            self._catch_up()

    # --- watching --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Say what is going wrong, each finding once, and find out whether the study has done enough."""
        history = StudyHistory(self._config, tuple(self._trials.trials), self._shared_patients)
        count = len(history.trials)
        ended, due = self._trials.counted, count % (1 + count // _OFTEN_UP_TO) == 0  # a look takes 0.05 ms per trial
        for finding in live_findings(history) if due and ended != self._looked_at else ():
            if finding.what not in self._said:
                self._said.add(finding.what)
                said = f"{finding.what}: {finding.evidence}. {finding.change}"
                self._notify(Notice(said, warning=finding.severity != "note"))
        self._looked_at = ended
        if self._config.max_epochs is not None or self._config.max_hours is not None:
            self._spent = history.spent
        enough = reason_to_stop(self._config, history)
        if enough and not self._enough:
            self._notify(Notice(f"no more trials are started: {enough}"))
        self._enough = enough
