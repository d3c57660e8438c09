"""The ledger: all that is written of a study's trials, in its storage and, where no worker does, in MLflow.

States of a trial: queued (Optuna's WAITING), running, paused (RUNNING, with the seconds it took until then), and the
ends: complete, pruned, failed. One that was interrupted is failed, and its parameters are queued again.
"""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.aims import BREAKS_KEY
from hms_search.search.contract import has_study
from hms_search.search.dashboard import Shown, attach_trials
from hms_search.search.evidence import OUTCOME_KEY, carried_from
from hms_search.search.outcomes import (
    CARRIED_KEY,
    PARAMS_KEY,
    PAUSED_AT_KEY,
    PAUSED_KEY,
    PLACE_KEY,
    RETRY_KEY,
    SAME_KEY,
    origin_of,
)
from hms_search.search.overview import counts
from hms_search.search.patient_storage import set_intermediate_values, set_system_attrs, set_user_attrs, told_together
from hms_search.search.peers import HOME_KEY, SESSION_KEY
from hms_search.search.racing import Ground
from hms_search.search.report import KEPT_METRICS, SPARED_KEY
from hms_search.search.retention import experiments_of
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Before, Ending, TrialEnded, own_folder
from hms_search.search.warm_start import known_configurations, sources_of
from hms_search.tracking import Tracker

_RUN_KEY, _WARM_KEY, _DEATHS_KEY, _SESSIONS_KEY = "mlflow_run_id", "warm_start", "deaths", "dead_sessions"
_LEG_KEY = "hms_search:leg"
"""The system attribute of a trial with how often it has been gone on with: no clock says who tells of its run last."""
_SOURCES_KEY = "hms_search:warm_start"
"""The attribute of a study with the sources whose configurations are all queued; what they get since is not asked."""
_GRID_KEY = "search_space"
"""The system attribute with the grid that a trial's point is of: Optuna asks for no point again that one of it had."""
_STATES: Mapping[Ending, TrialState] = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
_MOST_SESSIONS = 10
"""That a trial may outlive without getting further; machines are taken away, too, but not always in the same epoch."""
_OWN_KEYS = {
    "baseline",
    RETRY_KEY,
    _DEATHS_KEY,
    "seconds",
    SPARED_KEY,
    PAUSED_KEY,
    PAUSED_AT_KEY,
    _WARM_KEY,
    CARRIED_KEY,
    PARAMS_KEY,
    _SESSIONS_KEY,
}


@dataclass(frozen=True)
class Surroundings:
    """Where a study's runs, pictures and unfinished trials go, and whom trials are compared on.

    ``tags`` are those of all its runs; ``shared_patients`` are on both sides of a fold.
    """

    tracker: Tracker
    parent_id: str
    tags: Mapping[str, str]
    pictures: Path
    work: Path
    ground: Ground
    shared_patients: int = 0


class Ledger:
    """Writes down what becomes of a study's trials; nobody else does."""

    def __init__(self, config: StudyConfig, study: optuna.Study, around: Surroundings) -> None:
        self._config, self.study, self._around = config, study, around

    def begin(self) -> None:
        """Queue a new study's baseline, and what is known to be good in sources that it has not asked yet.

        A study that has no trial left to start asks none: they wait until it has.
        """
        begun = _begun(self._config, self.study)
        if not begun.is_new and not begun.to_ask:
            return
        known = known_configurations(begun.to_ask, self._config.space, self.study._storage)
        if begun.is_new and not any(trial.user_attrs.get("baseline") for trial in begun.trials):
            self.study.enqueue_trial(self._config.space.baseline(), user_attrs={"baseline": True})
        for one in known:
            if one.origin not in begun.origins:
                self.study.enqueue_trial(dict(one.params), user_attrs={_WARM_KEY: one.origin})
        self.study.set_user_attr(_SOURCES_KEY, [*begun.asked, *begun.to_ask])

    def answer(self, trial: optuna.Trial, twin: FrozenTrial) -> TrialEnded:
        """End a trial as its twin did, without training it again."""
        self.reached([(trial, step, value) for step, value in twin.intermediate_values.items()])
        kept = {name: value for name, value in twin.user_attrs.items() if name not in _OWN_KEYS}
        self._keep([(trial, {**kept, SAME_KEY: twin.number, "seconds": 0.0})])
        for name, excess in twin.constraints.items():
            trial.set_constraint(name, excess)
        outcome: Ending = "complete" if twin.state == TrialState.COMPLETE else "pruned"
        found = tuple(twin.values) if outcome == "complete" else ()
        self.study.tell(trial, found or None, state=twin.state)
        reason, run_id = f"the same configuration as trial {twin.number}", twin.user_attrs.get(_RUN_KEY, "")
        return TrialEnded(trial.number, outcome, run_id, 0.0, found, reason)

    def reached(self, values: Sequence[tuple[optuna.Trial, int, float]]) -> None:
        """Keep trials' values after steps; Optuna's own way refuses studies of several aims."""
        given = [(trial._trial_id, step, value) for trial, step, value in values]
        set_intermediate_values(self.study._storage, given)

    def started(self, runs: Sequence[tuple[optuna.Trial, str]]) -> None:
        """Keep the names of trials' runs."""
        set_user_attrs(self.study._storage, [(trial._trial_id, _RUN_KEY, run_id) for trial, run_id in runs])

    def before(self, trial: optuna.Trial | FrozenTrial) -> Before:
        """Return what a paused trial has done."""
        stored = self._stored(trial)
        kept, steps = stored.user_attrs, len(stored.intermediate_values)
        return Before(kept[_RUN_KEY], steps, kept[PAUSED_KEY], _leg(stored))

    def pause(self, paused: Sequence[tuple[optuna.Trial, TrialEnded]], *, home: str = "") -> None:
        """Keep that trials wait, and where their checkpoints are."""
        now = datetime.now(UTC).isoformat()
        self._keep([(trial, {PAUSED_KEY: round(ended.seconds, 2), PAUSED_AT_KEY: now}) for trial, ended in paused])
        self._attach(paused)
        kept = ((HOME_KEY, home), (SESSION_KEY, ""))
        given = [(trial._trial_id, key, value) for trial, _ in paused for key, value in kept]
        set_system_attrs(self.study._storage, given)

    def end(
        self,
        over: Sequence[tuple[optuna.Trial, TrialEnded]],
        *,
        spared_at: Mapping[int, int | None] = MappingProxyType({}),
        died: bool = False,
    ) -> None:
        """Keep how trials ended; ``spared_at`` are the steps at which a stricter policy would have stopped some.

        What they would have gone on with is removed after that: a session that dies before has them answered by it.
        Those that were interrupted are queued again; ``died`` says that their processes did.
        """
        self._keep([(trial, _attributes(ended, spared_at.get(ended.number))) for trial, ended in over])
        self._attach(over)
        for trial, ended in over:
            self._constrain(trial, ended)
        with told_together(self.study._storage, [trial._trial_id for trial, _ in over]):
            for trial, ended in over:
                if ended.outcome == "interrupted":
                    stored = self._stored(trial)
                    self._queue_again(stored, {_DEATHS_KEY: stored.user_attrs.get(_DEATHS_KEY, 0) + 1} if died else {})
                values = ended.values if ended.outcome == "complete" else None
                self.study.tell(trial, values, state=_STATES.get(ended.outcome, TrialState.FAIL))
        for _, ended in over:
            if ended.unneeded is not None:
                shutil.rmtree(ended.unneeded, ignore_errors=True)

    def may_try_again(self, trial: optuna.Trial) -> bool:
        """Say whether a trial whose process died is run again: it may be what kills it."""
        return bool(trial.user_attrs.get(_DEATHS_KEY, 0) < self._config.retries)

    def refused(self, trial: optuna.Trial, reason: str) -> TrialEnded:
        """Return the end of a trial that cannot be run, or not gone on with; its run says so."""
        if PAUSED_KEY in trial.user_attrs:
            before = self.before(trial)
            run = self._around.tracker.resume_run(before.run_id, leg=before.leg)
            run.finish("failed", reason=reason, metrics={}, files={})
            return TrialEnded(trial.number, "failed", run.id, before.seconds, reason=reason)
        run = self._around.tracker.start_run(
            f"trial {trial.number}",
            parent_id=self._around.parent_id,
            params=trial.params,
            tags={**self._around.tags, "trial": str(trial.number)},
            texts={},
        )
        run.finish("failed", reason=reason, metrics={}, files={})
        return TrialEnded(trial.number, "failed", run.id, seconds=0.0, reason=reason)

    def end_orphan(self, run_id: str, reason: str, *, failed: bool, leg: int) -> None:
        """End the run of a worker that died in the leg before ``leg``; an empty name is none's."""
        if run_id:
            self._around.tracker.end_orphan(run_id, reason, failed=failed, leg=leg)

    def end_waiting(self, trial: FrozenTrial, total: int, why: str) -> None:
        """End a trial that still waits, after some of ``total`` steps, when the study is over: it counts as pruned."""
        before = self.before(trial)
        reason = f"paused after {before.steps} of {total} epochs; {why}"
        run = self._around.tracker.resume_run(before.run_id, leg=before.leg + 1)
        run.finish("pruned", reason=reason, metrics={}, files={})
        self._remove_checkpoints(trial, self._experiment_of(trial))
        self._keep([(trial, {OUTCOME_KEY: "pruned", "reason": reason, "seconds": before.seconds})])
        self.study.tell(trial.number, state=TrialState.PRUNED)

    def own(
        self,
        trials: Sequence[optuna.Trial | FrozenTrial],
        session: str,
        places: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Keep which session runs trials, an empty name is none's; those that had paused are in their next leg then.

        ``places`` are those of the trials that are begun, by number.
        """
        kept: list[tuple[int, str, Any]] = [(trial._trial_id, SESSION_KEY, session) for trial in trials]
        moved = [trial for trial in trials if places.get(trial.number, origin_of(trial)) != origin_of(trial)]
        kept += [(trial._trial_id, PLACE_KEY, places[trial.number]) for trial in moved]
        going_on = [self._stored(trial) for trial in trials if PAUSED_KEY in trial.user_attrs]
        kept += [(trial._trial_id, _LEG_KEY, _leg(trial) + 1) for trial in going_on]
        set_system_attrs(self.study._storage, kept)

    def take_up(self, trial: FrozenTrial) -> bool:
        """Let a trial that had gone on when its session died wait again; return False where it may be why."""
        times, reached = _lost_sessions(trial)
        if times > _MOST_SESSIONS:
            return False
        self._keep([(trial, {_SESSIONS_KEY: (times, reached)})])
        self._around.tracker.resume_run(trial.user_attrs[_RUN_KEY], leg=_leg(trial) + 1).pause()
        self.own([trial], "")
        return True

    def run_again(self, trial: FrozenTrial) -> bool:
        """End a trial whose session died, and queue its parameters, unless the session still did; return whether so.

        One that gets no further in one session after the other is failed: it may be what ends them, container and all.
        """
        times, reached = _lost_sessions(trial)
        is_hopeless = times > _MOST_SESSIONS
        reason = f"{times} sessions in turn died in its epoch {reached + 1}" if is_hopeless else "its session died"
        run_id = "" if SAME_KEY in trial.user_attrs else trial.user_attrs.get(_RUN_KEY, "")  # else its twin's
        self.end_orphan(run_id, reason, failed=is_hopeless, leg=_leg(trial) + 1)
        kept = {OUTCOME_KEY: "failed", "reason": reason} if is_hopeless else {OUTCOME_KEY: "interrupted"}
        if is_hopeless:
            self._remove_checkpoints(trial, experiments_of(self.study)(trial))
        self._keep([(trial, {**kept, _SESSIONS_KEY: (times, reached)})])
        later = self.study.get_trials(deepcopy=False)[trial.number + 1 :]
        if not is_hopeless and all(other.user_attrs.get(RETRY_KEY) != origin_of(trial) for other in later):
            self._queue_again(trial, {_SESSIONS_KEY: (times, reached)})
        self.study.tell(trial.number, state=TrialState.FAIL)
        return not is_hopeless

    def _constrain(self, trial: optuna.Trial, ended: TrialEnded) -> None:
        """Keep by how much a trial exceeds what it may cost: samplers keep away from there."""
        wanted = self._config.wanted
        if not wanted.constraints or any(one.metric not in ended.metrics for one in wanted.constraints):
            return
        for name, excess in wanted.excess(ended.metrics).items():
            trial.set_constraint(name, excess)
        if broken := wanted.broken(ended.metrics):
            trial.set_user_attr(BREAKS_KEY, broken)

    def _keep(self, attributes: Sequence[tuple[optuna.Trial | FrozenTrial, Mapping[str, Any]]]) -> None:
        given = [(trial._trial_id, key, value) for trial, kept in attributes for key, value in kept.items()]
        set_user_attrs(self.study._storage, given)

    @cached_property
    def _experiment_of(self) -> Callable[[FrozenTrial], str]:
        """What names a trial's experiment; of hundreds that wait at the end the configuration is read once."""
        return experiments_of(self.study)

    def _remove_checkpoints(self, trial: FrozenTrial, experiment: str) -> None:
        shutil.rmtree(own_folder(self._around.work, origin_of(trial), experiment), ignore_errors=True)

    def _stored(self, trial: optuna.Trial | FrozenTrial) -> FrozenTrial:
        return self.study._storage.get_trial(trial._trial_id)

    def _queue_again(self, trial: FrozenTrial, deaths: Mapping[str, Any]) -> None:
        """Queue a trial's parameters, also those it was queued with; one that had none yet is proposed anew."""
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        if not params and self._config.space.parameters:
            set_system_attrs(self.study._storage, [(trial._trial_id, _GRID_KEY, {})])
            return
        lasting = ("baseline", _DEATHS_KEY, _SESSIONS_KEY)
        kept = {name: trial.user_attrs[name] for name in lasting if name in trial.user_attrs}
        self.study.enqueue_trial(params, user_attrs={**kept, **deaths, RETRY_KEY: origin_of(trial)})

    def _attach(self, trials: Sequence[tuple[optuna.Trial, TrialEnded]]) -> None:
        shown = [Shown(trial, _note(ended), ended.curve) for trial, ended in trials]
        attach_trials(self.study, shown, pictures=self._around.pictures)


def check_sources(config: StudyConfig, storage: optuna.storages.BaseStorage) -> None:
    """Raise what is wrong with the sources that a study is about to ask, before anything is written.

    The errors are those of :func:`hms_search.search.warm_start.known_configurations`.
    """
    if not config.warm_start:
        return
    if has_study(storage, config.name):
        sources = _begun(config, optuna.load_study(study_name=config.name, storage=storage)).to_ask
    else:
        sources = config.warm_start
    known_configurations(sources, config.space, storage)


@dataclass(frozen=True)
class _Begun:
    """How far a study is with its sources: those it ``asked``, those ``to_ask`` now, and what it was given of them."""

    trials: Sequence[FrozenTrial]
    is_new: bool
    origins: Collection[str]
    asked: Sequence[str]
    to_ask: tuple[str, ...]


def _begun(config: StudyConfig, study: optuna.Study) -> _Begun:
    trials = study.get_trials(deepcopy=False)
    own = [trial for trial in trials if config.migrate is None or carried_from(trial) is None]
    is_new = all(trial.state == TrialState.WAITING for trial in own)
    origins = {trial.user_attrs[_WARM_KEY] for trial in trials if _WARM_KEY in trial.user_attrs}
    stored = study.user_attrs.get(_SOURCES_KEY)
    asked = sources_of(origins, config.warm_start) if stored is None and not is_new else list(stored or ())
    is_full = not is_new and sum(map(counts, trials)) >= config.trials
    to_ask = () if is_full else tuple(source for source in config.warm_start if source not in asked)
    return _Begun(trials, is_new, origins, asked, to_ask)


def _leg(trial: FrozenTrial) -> int:
    """Return how often a trial has been gone on with, where it is now or waits."""
    return int(trial.system_attrs.get(_LEG_KEY, 0))


def _lost_sessions(trial: FrozenTrial) -> tuple[int, int]:
    """Return how many sessions in turn died with a trial, the last one too, and after how many epochs of it all did."""
    times, before = trial.user_attrs.get(_SESSIONS_KEY, (0, -1))
    return (1, now) if (now := len(trial.intermediate_values)) > before else (times + 1, before)


def _attributes(ended: TrialEnded, spared_at: int | None) -> dict[str, Any]:
    """Return what the study keeps of a trial: columns of optuna-dashboard's table; the rest is in its MLflow run."""
    kept: dict[str, Any] = {name: ended.metrics[name] for name in KEPT_METRICS if name in ended.metrics}
    if ended.fold_values:
        kept["folds"] = list(ended.fold_values)
    if ended.reason:
        kept["reason"] = ended.reason
    if ended.outcome == "complete" and spared_at is not None:
        kept[SPARED_KEY] = spared_at
    if ended.run_id:  # the store may have given it another name than it began with
        kept[_RUN_KEY] = ended.run_id
    return {OUTCOME_KEY: ended.outcome, "seconds": round(ended.seconds, 2), **kept}


def _note(ended: TrialEnded) -> str:
    lines = [f"MLflow run `{ended.run_id}`", f"outcome: {ended.outcome}{f' ({ended.reason})' if ended.reason else ''}"]
    lines += [f"fold {position}: {value:.4f}" for position, value in enumerate(ended.fold_values)]
    return "\n\n".join(lines)
