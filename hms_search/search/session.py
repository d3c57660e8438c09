"""A session of a study: data, folds, storage, tracking and workers brought together, run, and closed."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import get_args

import optuna

from hms_search.data.folds import FoldPlan, plan_folds
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.document import dump_yaml
from hms_search.provenance import code_tags
from hms_search.search.contract import Contract, contract_of, open_study
from hms_search.search.coordinator import Coordinator
from hms_search.search.events import Event, Notice, RoundBegan
from hms_search.search.executors import LocalExecutor
from hms_search.search.front_picture import front_picture
from hms_search.search.ledger import Surroundings, check_sources
from hms_search.search.locks import locked, one_after_the_other, only_session, only_session_beside
from hms_search.search.migration import migrate
from hms_search.search.patient_storage import patient_storage
from hms_search.search.peers import Peers, joined, living_sessions
from hms_search.search.places import Places
from hms_search.search.racing import Ground
from hms_search.search.report import StudyReport, report_of
from hms_search.search.room import ending_without_room, session_on_disk
from hms_search.search.round_studies import FIRST_KEY, RoundStudy, number_of_rounds, played_round, round_study
from hms_search.search.rounds import PlayedRound
from hms_search.search.slots import working_slots
from hms_search.search.storage import close_storage, is_server, lock_beside, open_storage
from hms_search.search.study import SYNTHETIC, StudyConfig
from hms_search.search.study_data import ReportProgress, study_samples
from hms_search.search.workers import WorkerSettings, warm_up
from hms_search.tracking import Outcome, Tracker, open_journaled, sync_line
from hms_search.training.metrics import Stratum, in_stratum

_USE_GROUPED = "use folds: {name: grouped}"


def run_study(
    config: StudyConfig,
    places: Places,
    *,
    notify: Callable[[Event], None],
    progress: ReportProgress,
    helps: bool = False,
) -> StudyReport:
    """Run a study, or the rounds of one, to its budget, resuming what is there; return the report of the last round.

    On a database server any number of sessions run a study together. One that ``helps`` leaves the study's stored
    configuration as it is.

    Raises StudyError where another session is running it alone, where its space, data or folds have changed or its
    storage fails, DiskError where there is no room on the disk.
    """
    if isinstance(config.executor, LocalExecutor):
        warm_up()
    notify = ending_without_room(notify)

    def say(text: str) -> None:
        notify(Notice(text, warning=True))

    with session_on_disk(places.root, places.storage), ExitStack() as stack:
        stack.enter_context(only_session(places.lock(config.name), config.name, shared=is_server(places.storage)))
        if (beside := lock_beside(places.storage, config.name)) is not None:
            stack.enter_context(only_session_beside(beside, config.name, places.root))
        with one_after_the_other(places.lock(".data")):
            store = study_samples(config, places, progress=progress, notify=notify)
        plan = plan_folds(config.folds, store, order=config.schedule.order)
        opened = open_storage(places.storage)
        stack.callback(close_storage, opened)
        storage = patient_storage(opened, say)
        for text in _remarks(config, store, plan):
            say(text)
        peers = stack.enter_context(joined(opened, config.name, places.trials(config.name), say))
        deadline = time.monotonic() + (math.inf if config.timeout_s is None else config.timeout_s)
        session = _Session(places, store, plan, storage, peers, notify, helps, deadline)
        played: list[PlayedRound] = []
        while True:
            current = round_study(config, played, storage)
            if current.number > 1:
                notify(RoundBegan(current.number, current.config, current.changes))
            study, is_over = session.run(current)
            report = report_of(study)
            if not is_over or report.best is None or current.number == number_of_rounds(config):
                return report
            played.append(played_round(current.config, study))


@dataclass(frozen=True)
class _Session:
    """What all rounds of a study share."""

    places: Places
    store: Store | SeizureTypes
    plan: FoldPlan
    storage: optuna.storages.BaseStorage
    peers: Peers
    notify: Callable[[Event], None]
    helps: bool
    deadline: float

    def run(self, current: RoundStudy) -> tuple[optuna.Study, bool]:
        """Run one round; return its Optuna study, and whether it is over."""
        config, places = current.config, self.places
        contract = contract_of(config, data=self.store.fingerprint, folds=self.plan.fingerprint)
        journals = places.journals(config.name)
        tracker = open_journaled(places.tracking_uri, places.artifacts, journals, study=config.name)
        tags = study_tags(config, contract) | ({"round": str(current.number)} if config.rounds is not None else {})
        check_sources(config, self.storage)
        with self.peers.exclusively():
            study = open_study(
                config,
                contract,
                self.storage,
                sampler_seed=current.sampler_seed,
                keeps_config=self.helps,
            )
            current.begin(study)
            if config.migrate is not None:
                self._migrate(config, contract, study)
            parent_id = tracker.start_study(tags=tags, texts={"study.yaml": dump_yaml(config.to_dict())})
        tracker.send_waiting()
        ground = ground_of(self.store, self.plan, config.objective)
        around = Surroundings(
            tracker, parent_id, tags, places.pictures, places.trials(config.name), ground, self.plan.shared_patients
        )
        coordinator = Coordinator(config, study, around, notify=self.notify, peers=self.peers, deadline=self.deadline)
        coordinator.recover()
        settings = _worker_settings(config, places, self.store, self.plan, parent_id)
        with working_slots(config.executor, min(config.workers, coordinator.left()), settings) as slots:
            is_over = coordinator.run(slots)
        ends = is_over or self.peers.leave()  # else the others end it
        report = report_of(study)
        if ends:
            if report.front:
                tracker.add(parent_id, metrics={}, files={"pareto_front.png": front_picture(report)})
            tracker.finish_study(parent_id, metrics=report.metrics(), table=report.table())
        waiting = tracker.send_waiting(insist=True)
        if not waiting.untold:
            _end_orphans(tracker, report)
        if waiting.runs:
            what = f"{waiting.runs} runs wait in {journals} for MLflow: {waiting.reason}"
            then = f"; when it answers again: {sync_line(places.tracking)}" if waiting.untold else ""
            self.notify(Notice(what + then, warning=True))
        return study, is_over

    def _migrate(self, config: StudyConfig, contract: Contract, study: optuna.Study) -> None:
        found = migrate(config, contract, study)
        if found.added:
            self.notify(Notice(f"{found.added} trials of study {config.migrate} are taken over: they lie in the space"))


def _end_orphans(tracker: Tracker, report: StudyReport) -> None:
    """End the runs of trials that have ended: a worker may have died before it could say which run is its trial's."""
    for outcome in get_args(Outcome):
        numbers = {str(row.number) for row in report.rows if row.outcome == outcome}
        reason = "its process died" if outcome == "interrupted" else ""
        if numbers:  # else the store would be searched for nothing
            tracker.end_orphans({"kind": ["trial"], "trial": numbers}, reason, outcome=outcome)


def ground_of(store: Store | SeizureTypes, plan: FoldPlan, objective: Stratum) -> Ground:
    """Return the patients on whose recordings trials are compared, and which recordings the objective counts."""
    rows = [plan.split(fold)[1] for fold in plan.use]
    return Ground(
        tuple(store.patients[of_fold] for of_fold in rows),
        tuple(in_stratum(store.high[of_fold], objective) for of_fold in rows),
    )


def _worker_settings(
    config: StudyConfig, places: Places, store: Store | SeizureTypes, plan: FoldPlan, parent_id: str
) -> WorkerSettings:
    return WorkerSettings(
        study=config.name,
        store=store,
        folds=config.folds,
        folds_fingerprint=plan.fingerprint,
        order=plan.order,
        objective=config.objective,
        device=config.device,
        threads=0,
        tracking_uri=places.tracking_uri,
        artifacts=places.artifacts,
        journals=places.journals(config.name),
        parent_id=parent_id,
        work=places.trials(config.name),
        wanted=config.wanted,
    )


def study_tags(config: StudyConfig, contract: Contract) -> dict[str, str]:
    """Return what every run of a study is tagged with: fingerprints, versions, commit."""
    fingerprints = {"space": contract.space, "data": contract.data, "folds": contract.folds}
    return {
        "study": config.name,
        "space": config.space.name,
        "objective": config.learned.metric.format(stratum=config.objective),
        **{f"{name}_fingerprint": value for name, value in fingerprints.items()},
        **code_tags(),
    }


def _remarks(config: StudyConfig, store: Store | SeizureTypes, plan: FoldPlan) -> Iterator[str]:
    if config.data.root == SYNTHETIC:
        yield "the recordings are synthetic: the scores say nothing about real EEG"
    if plan.shared_patients:
        yield (
            f"{plan.shared_patients} patients are on both sides of a fold (folds: {config.folds.name}): the scores "
            f"flatter the model; {'the score by patient stands beside' if config.learned.levels else _USE_GROUPED}"
        )
    for reason, count in store.left_out.items():
        if count:
            yield f"{count} windows are left out: {reason}"


def in_session(places: Places, study: str, storage: optuna.storages.BaseStorage) -> bool:
    """Say whether a session runs a study, here or, on a database server, anywhere; that of the first round runs all."""
    first = optuna.load_study(study_name=study, storage=storage).user_attrs.get(FIRST_KEY, study)
    if living_sessions(storage, first):
        return True
    locks = (places.lock(first), lock_beside(places.storage, first))
    with locked(*(path for path in locks if path is not None and os.access(path, os.W_OK))) as free:
        return not free
