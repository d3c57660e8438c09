"""The coordinator: the one process that owns a study. It asks, hands trials to workers, judges each epoch, and tells.

    ask --> Job --> worker --> EpochEnded --> verdict --> ... --> TrialEnded --> tell

A trial counts towards the study's total when it completed, was pruned or failed by itself. One that was interrupted (by
Ctrl-C, a time limit or a crash) does not: it is told as failed, and its parameters are queued again.
"""

import hashlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.errors import CheckpointError, ConfigError
from hms_search.experiment import ExperimentConfig
from hms_search.models import resolve_weights, settled_weights
from hms_search.search.dashboard import attach_trial
from hms_search.search.events import Event, Finished, Judged, Notice, Submitted
from hms_search.search.pruners import FoldJudge
from hms_search.search.report import KEPT_METRICS, OUTCOME_KEY
from hms_search.search.samplers import exhausted
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Ending, EpochEnded, Job, TrialEnded, TrialStarted, Verdict
from hms_search.search.workers import Worker, WorkerDied, ready_workers
from hms_search.tracking import Tracker

WEIGHTS_KEY = "hms_search:weights"
_HOPELESS = 3
_ALARM_AFTER = 10


class Coordinator:
    """Runs a study to its budget over a set of workers.

    Parameters
    ----------
    config
        The study. ``trials`` is the study's total over all sessions, ``timeout_s`` this session's.
    study
        The Optuna study, opened under its contract; nobody else writes to it.
    tracker, parent_id
        Where runs go, and the study's own run.
    notify
        Called with each event, and with None at least every half second.
    """

    def __init__(
        self,
        config: StudyConfig,
        study: optuna.Study,
        *,
        tracker: Tracker,
        parent_id: str,
        tags: Mapping[str, str],
        pictures: Path,
        notify: Callable[[Event], None],
    ) -> None:
        self._config, self._study, self._tracker = config, study, tracker
        self._parent_id, self._tags, self._notify = parent_id, dict(tags), notify
        self._pictures = pictures
        self._running: dict[int, optuna.Trial] = {}
        self._interrupts = 0
        self._deadline = time.monotonic() + config.timeout_s if config.timeout_s is not None else None
        self._n_folds = len(config.folds.use or range(config.folds.n_folds))
        self._epochs = config.space.base.training.epochs
        self._judge = FoldJudge(
            config.pruner,
            n_folds=self._n_folds,
            epochs=self._epochs,
            study_name=config.name,
            direction=config.learned.direction,
        )
        self._alarmed = self._said_stopping = False

    def run(self, workers: list[Worker]) -> None:
        """Run trials until the budget is spent or the user stops it; :meth:`recover` comes first."""
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

    def remaining(self) -> int:
        """Return how many trials the study's total still allows."""
        return max(0, self._config.trials - sum(counts(trial) for trial in self._study.get_trials(deepcopy=False)))

    # --- handing out ---------------------------------------------------------------------------------------------

    def _hand_out(self, workers: list[Worker]) -> None:
        for worker in workers:
            while worker.job is None and self._may_ask():
                job = self._ask()
                if job is not None:
                    worker.submit(job)
                    baseline = job.tags["baseline"] == "true"
                    self._notify(Submitted(job.number, worker.slot, job.params, baseline))

    def _may_ask(self) -> bool:
        if self._stopping() or self.remaining() == 0:
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

    def _ask(self) -> Job | None:
        trial = self._study.ask()
        origin = origin_of(trial)
        seed = trial_seed(self._config.seed, origin)
        try:
            config = self._config.space.suggest(trial)
            config = self._with_weights(config)
        except (ConfigError, CheckpointError) as error:
            self._refuse(trial, str(error))
            return None
        self._running[trial.number] = trial
        tags = {
            **self._tags,
            "trial": str(trial.number),
            "baseline": str(bool(trial.user_attrs.get("baseline"))).lower(),
            "seed": str(seed),
            "config_fingerprint": config.fingerprint(),
        }
        if "retry_of" in trial.user_attrs:
            tags["retry_of"] = str(trial.user_attrs["retry_of"])
        return Job(trial.number, config, dict(trial.params), seed, tags, origin)

    # --- listening -----------------------------------------------------------------------------------------------

    def _listen(self, worker: Worker) -> None:
        message = worker.receive()
        if isinstance(message, TrialStarted):
            self._running[message.number].set_user_attr("mlflow_run_id", message.run_id)
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
        prune = self._judge.epoch_ended(message.number, epoch.step, epoch.value)
        last = epoch.step + 1 == self._n_folds * self._epochs
        if self._stopping() and not last:
            return "interrupt"
        return "prune" if prune and not last and not trial.user_attrs.get("baseline") else "continue"

    def _tell(self, ended: TrialEnded) -> None:
        trial = self._running.pop(ended.number)
        self._judge.trial_ended(ended.number, failed=ended.outcome == "failed")
        for name, value in _attributes(ended).items():
            trial.set_user_attr(name, value)
        attach_trial(self._study, trial, note=_note(ended), curve=ended.curve, pictures=self._pictures)
        if ended.outcome == "complete":
            self._study.tell(trial, ended.value)
        elif ended.outcome == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._fail(trial, ended.outcome)
        self._notify(Finished(ended))
        self._watch_pruning()

    def _bury(self, died: WorkerDied, outcome: Ending, reason: str) -> None:
        if died.run_id:
            self._tracker.end_orphan(died.run_id, reason, failed=outcome == "failed")
        self._tell(TrialEnded(died.job.number, outcome, died.run_id, seconds=0.0, reason=reason))

    def _fail(self, trial: optuna.Trial, outcome: Ending) -> None:
        self._study.tell(trial, state=TrialState.FAIL)
        if outcome == "interrupted":
            self._queue_again(trial.number, trial.params, trial.user_attrs)

    def _refuse(self, trial: optuna.Trial, reason: str) -> None:
        run = self._tracker.start_run(
            f"trial {trial.number}",
            parent_id=self._parent_id,
            params=trial.params,
            tags={**self._tags, "trial": str(trial.number)},
            texts={},
        )
        run.finish("failed", reason=reason, metrics={}, files={})
        self._running[trial.number] = trial
        self._tell(TrialEnded(trial.number, "failed", run.id, seconds=0.0, reason=reason))

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
            if trial.state == TrialState.RUNNING:
                self._notify(Notice(f"trial {trial.number} was left running by a session that died; it is run again"))
                if "mlflow_run_id" in trial.user_attrs:
                    self._tracker.end_orphan(trial.user_attrs["mlflow_run_id"], "its session died", failed=False)
                self._study._storage.set_trial_user_attr(trial._trial_id, OUTCOME_KEY, "interrupted")
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._queue_again(trial.number, trial.params, trial.user_attrs)
            elif trial.state.is_finished():
                self._judge.replay(trial)

    def _queue_again(self, number: int, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> None:
        kept = {"baseline": True} if attrs.get("baseline") else {}
        self._study.enqueue_trial(dict(params), user_attrs={**kept, "retry_of": attrs.get("retry_of", number)})

    # --- watching --------------------------------------------------------------------------------------------------

    def _with_weights(self, config: ExperimentConfig) -> ExperimentConfig:
        """Settle ``weights: auto``, once per backbone for the whole study, so that its trials compare."""
        settled: dict[str, str] = self._study.user_attrs.get(WEIGHTS_KEY, {})
        now = settled_weights(config.model, settled)
        if now != settled:
            self._study.set_user_attr(WEIGHTS_KEY, now)
        for text in missing_weights(settled, now):
            self._notify(Notice(text, warning=True))
        return config.model_copy(update={"model": resolve_weights(config.model, now)})

    def _watch_pruning(self) -> None:
        """Say it when a search prunes everything: the report lost six GPU hours to a threshold nobody looked at."""
        trials = [t for t in self._study.get_trials(deepcopy=False) if not t.user_attrs.get("baseline")]
        pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
        completed = any(trial.state == TrialState.COMPLETE for trial in trials)
        if pruned >= _ALARM_AFTER and not completed and not self._alarmed:
            self._alarmed = True
            self._alarm(
                f"all {pruned} trials besides the baseline were pruned and none completed; "
                f"the pruner ({self._config.pruner.name}) is probably too eager for this space"
            )

    def _alarm(self, text: str) -> None:
        self._notify(Notice(text, warning=True))


def missing_weights(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what to say of backbones whose ``weights: auto`` was newly settled to none."""
    return [
        f"no ImageNet weights of {backbone} can be had (neither hub, cache nor an installed package has them): it is "
        "trained from random weights; give model.weights a .safetensors file for better"
        for backbone, weights in now.items()
        if backbone not in before and weights == "none"
    ]


def counts(trial: FrozenTrial) -> bool:
    """Say whether a trial counts towards the study's total."""
    if trial.state == TrialState.FAIL:
        return trial.user_attrs.get(OUTCOME_KEY) != "interrupted"
    return trial.state != TrialState.WAITING


def origin_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the number of the first trial that ran a trial's experiment: its own but where it is run again."""
    return int(trial.user_attrs.get("retry_of", trial.number))


def trial_seed(study_seed: int, number: int) -> int:
    """Return a trial's training seed, derived from the study's seed and the number of :func:`origin_of`."""
    return derived_seed("trial", study_seed, number)


def derived_seed(purpose: str, seed: int, number: int) -> int:
    """Return a 31-bit seed for one of several things of a study, told apart by purpose and number."""
    digest = hashlib.sha256(f"hms_search {purpose} {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


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
