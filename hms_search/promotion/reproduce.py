"""Reproduction: a recorded trial run again, compared epoch by epoch with what was found then."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from hms_search.data.folds import FoldPlan, plan_folds
from hms_search.data.progress import Progress
from hms_search.errors import StudyError, TrackingError, TrainingError, TrialStopped
from hms_search.experiment import run_experiment
from hms_search.promotion.samples import StudySamples, open_samples
from hms_search.provenance import UNKNOWN_COMMIT
from hms_search.search.contract import contract_of
from hms_search.search.events import Event, Notice
from hms_search.search.places import Places
from hms_search.search.recorded import RecordedStudy, RecordedTrial, recorded_study
from hms_search.search.session import study_tags
from hms_search.search.storage import existing_storage
from hms_search.search.study_data import ReportProgress
from hms_search.search.trial_record import machine
from hms_search.tracking import NO_TRACKING
from hms_search.tracking.reading import RunReader
from hms_search.training.results import Epoch
from hms_search.training.tasks import Task


@dataclass(frozen=True)
class Change:
    """Something a result depends on that is not what it was: its name, then and now."""

    what: str
    then: str
    now: str


@dataclass(frozen=True)
class Reproduction:
    """A trial's validated values by step, as recorded and as found again, and what has changed since.

    ``known`` says whether versions, commit and machine of then are known at all.
    """

    study: str
    task: Task
    trial: int
    recorded: Mapping[int, float]
    found: Mapping[int, float]
    changes: tuple[Change, ...]
    known: bool

    @property
    def equal(self) -> bool:
        """Whether every recorded epoch has the same value again, to the last bit."""
        return dict(self.recorded) == dict(self.found)

    @property
    def largest_difference(self) -> float:
        """The largest absolute difference over the epochs found again; infinite where one is missing."""
        if self.recorded.keys() != self.found.keys():
            return float("inf")
        return max(abs(self.found[step] - value) for step, value in self.recorded.items())


def reproduce(
    study: str,
    number: int,
    places: Places,
    *,
    data: str | None = None,
    notify: Callable[[Event], None],
    progress: ReportProgress,
) -> Reproduction:
    """Run a trial again as it was recorded, up to its last recorded epoch, and return how the two compare.

    Nothing is written to the study or the tracking store. ``data`` names the recordings where they lie elsewhere now.

    Raises StudyError where the study or the trial is unknown, or nothing of it was recorded to compare with.
    """
    with existing_storage(places.storage) as storage:
        record = recorded_study(storage, study)
    trial = record.trial(number)
    if not trial.values:
        why = f" ({trial.row.reason})" if trial.row.reason else ""
        raise StudyError(
            f"trial {number} of study {study!r} ended before its first epoch{why}: nothing to compare with"
        )
    then = _tags_of(trial, places)
    if then is None:
        text = "versions, commit and machine of the trial are unknown: its tracking store does not have its run"
        notify(Notice(text, warning=True))
    store = open_samples(record, data, places, notify=notify, progress=progress)
    threads = torch.get_num_threads()
    torch.set_num_threads(int((then or {}).get("threads", threads)))
    try:
        plan = plan_folds(record.config.folds, store, order=record.config.schedule.order)
        found = _values(record, trial, store, plan, progress)
        now = _tags_now(record, trial, store, plan)
    finally:
        torch.set_num_threads(threads)
    return Reproduction(
        study=study,
        task=record.config.learned,
        trial=number,
        recorded=trial.values,
        found=found,
        changes=_changes(then or {}, now),
        known=then is not None,
    )


def _values(
    record: RecordedStudy, trial: RecordedTrial, store: StudySamples, plan: FoldPlan, progress: ReportProgress
) -> Mapping[int, float]:
    found: dict[int, float] = {}

    def on_epoch(epoch: Epoch) -> None:
        found[epoch.step] = epoch.value
        progress(f"trial {trial.number} again", Progress(len(found), len(trial.values)))
        if len(found) == len(trial.values):
            raise TrialStopped("interrupted")

    try:
        run_experiment(
            trial.config,
            store,
            plan,
            seed=trial.seed,
            device=record.config.device,
            objective=record.config.objective,
            on_epoch=on_epoch,
        )
    except (TrialStopped, TrainingError):  # all that was recorded is found again, or it diverged again
        return found
    return found


def _tags_of(trial: RecordedTrial, places: Places) -> Mapping[str, str] | None:
    if not trial.row.run_id or places.tracking_uri == NO_TRACKING:
        return None
    try:
        return RunReader(places.tracking_uri).record(trial.row.run_id).tags
    except TrackingError:
        return None


def _tags_now(record: RecordedStudy, trial: RecordedTrial, store: StudySamples, plan: FoldPlan) -> Mapping[str, str]:
    contract = contract_of(record.config, data=store.fingerprint, folds=plan.fingerprint)
    return {
        **study_tags(record.config, contract),
        **machine(record.config.device),
        "seed": str(trial.seed),
        "config_fingerprint": trial.config.fingerprint(),
    }


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[Change, ...]:
    """Return what a result depends on and is recorded otherwise than it is now."""
    names = {name: name.removeprefix("version_") for name in now if name.startswith("version_")}
    names |= {
        "git_commit": "commit",
        "data_fingerprint": "data",
        "folds_fingerprint": "folds",
        "config_fingerprint": "configuration",
        "seed": "seed",
        "device": "device",
        "threads": "threads",
    }
    return tuple(
        Change(shown, then[tag], now[tag])
        for tag, shown in names.items()
        if tag in then and (then[tag] != now[tag] or (tag == "git_commit" and _uncertain(then[tag])))
    )


def _uncertain(commit: str) -> bool:
    """Return whether a commit does not say which code ran: changed files are not in it."""
    return commit.endswith("-dirty") or commit == UNKNOWN_COMMIT
