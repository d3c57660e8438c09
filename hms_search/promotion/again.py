"""Which gains of a study survive: its best trials and its baseline run again, under other seeds or on other folds.

``noise`` keeps data and folds, so that nothing but the seed differs. ``recheck`` cuts other folds for each repetition,
the same for all trials: what the search's own folds flattered is gone, and the choice among many with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hms_search.data.folds import plan_folds
from hms_search.errors import StudyError
from hms_search.promotion.repeats import Repeats, Repetition, Variant
from hms_search.promotion.samples import StudySamples, check_same, open_samples
from hms_search.search.asking import derived_seed
from hms_search.search.events import Event, Notice
from hms_search.search.locks import only_session
from hms_search.search.places import Places
from hms_search.search.recorded import RecordedStudy, RecordedTrial, recorded_study
from hms_search.search.repeated import NOISE_KEY, RECHECK_KEY, Again, Gain, Repeated, keep_again
from hms_search.search.repeated_gain import gain_over_patients, gain_over_seeds
from hms_search.search.report import find_report
from hms_search.search.storage import existing_storage
from hms_search.search.study import StudyConfig
from hms_search.search.study_data import ReportProgress
from hms_search.tracking import open_tracker

Purpose = Literal["noise", "recheck"]
RECHECKED = 5
"""How many of the best trials are rechecked: in simulation that halves what choosing the best by its value costs."""
_SAME_FOLDS = (
    "the folds come out as in the search: folds of files are cut in the order of the table, and few patients leave no "
    "choice; nothing but the seed differs"
)
_KEYS = {"noise": NOISE_KEY, "recheck": RECHECK_KEY}


@dataclass(frozen=True)
class AgainRequest:
    """Which study to look at again, the ``top`` best trials of it, how many ``times`` each, and where its data lies."""

    study: str
    purpose: Purpose
    top: int = 1
    times: int = 5
    data: str | None = None


def run_again(
    request: AgainRequest, places: Places, *, notify: Callable[[Event], None], progress: ReportProgress
) -> Again:
    """Run the best completed trials and the baseline again, keep what was found with the study, and return it.

    They are no trials of the search. Called again after an interruption, however rude, it trains nothing twice. Where
    the study keeps at least as many repetitions of these trials already, they are returned and kept.

    Raises StudyError where the study is unknown, the baseline is the best trial or did not complete, or the recordings
    are others.
    """
    with existing_storage(places.storage) as storage:
        study, report = recorded_study(storage, request.study), find_report(storage, request.study)
    kept = report.noise if request.purpose == "noise" else report.recheck
    baseline, chosen = chosen_trials(study, request.top)
    with only_session(places.lock(f"{request.study}.again"), request.study):
        store = open_samples(study, request.data, places, notify=notify, progress=progress)
        check_same(store, study)
        variants = _variants(request, study.config, store)
        other_folds = any(variant.plan.fingerprint != study.contract.folds for variant in variants)
        if request.purpose == "recheck" and not other_folds:
            notify(Notice(_SAME_FOLDS))
        numbers = [trial.number for trial in chosen]
        if kept is not None and kept.covers(
            numbers, baseline=baseline.number, times=request.times, other_folds=other_folds
        ):
            return kept
        tracker = open_tracker(places.tracking_uri, places.artifacts, study=study.config.name)
        repeats = Repeats(study, places, store, tracker, tracker.study_run(), progress, request.purpose)
        first, *others = repeats.run((baseline, *chosen), variants)
        found = Again(
            seeds=tuple(variant.seed for variant in variants),
            other_folds=other_folds,
            baseline=_repeated(baseline, first),
            trials=tuple(
                _repeated(trial, again, _gain(study.config, (baseline, trial), first, again))
                for trial, again in zip(chosen, others, strict=True)
            ),
        )
        keep_again(places.storage, request.study, _KEYS[request.purpose], found)
    return found


def chosen_trials(study: RecordedStudy, top: int) -> tuple[RecordedTrial, tuple[RecordedTrial, ...]]:
    """Return the baseline and the best completed trials beside it, each of another configuration."""
    baseline, name = study.baseline, study.config.name
    if baseline.row.value is None:
        raise StudyError(f"the baseline of study {name!r} is {baseline.row.outcome}: there is no gain over it")
    ahead: list[RecordedTrial] = []
    for trial in study.completed:  # what was answered from the record is one configuration, not several
        if len(ahead) < top and trial.config not in (baseline.config, *(one.config for one in ahead)):
            ahead.append(trial)
    if not ahead or (top == 1 and _loss(study.config, ahead[0]) >= _loss(study.config, baseline)):
        raise StudyError(
            f"study {name!r} has found nothing better than its baseline: there is no gain to look at again"
        )
    return baseline, tuple(ahead)


def _variants(request: AgainRequest, config: StudyConfig, store: StudySamples) -> tuple[Variant, ...]:
    seeds = [derived_seed(request.purpose, config.seed, place) for place in range(request.times)]
    if request.purpose == "noise":
        plan = plan_folds(config.folds, store)
        return tuple(Variant(seed, plan) for seed in seeds)
    plans = [plan_folds(config.folds.model_copy(update={"seed": seed}), store) for seed in seeds]
    return tuple(Variant(seed, plan) for seed, plan in zip(seeds, plans, strict=True))


def _repeated(trial: RecordedTrial, again: Sequence[Repetition], gain: Gain | None = None) -> Repeated:
    reason = next((one.reason for one in reversed(again) if one.value is None), "")
    values = tuple(one.value for one in again)
    return Repeated(trial.number, trial.label, trial.row.value or 0.0, values, gain, reason)


def _gain(
    config: StudyConfig,
    pair: tuple[RecordedTrial, RecordedTrial],
    baseline: Sequence[Repetition],
    again: Sequence[Repetition],
) -> Gain | None:
    """Return the gain of the second of a pair over the first; None where a repetition of either failed."""
    recorded = _loss(config, pair[0]) - _loss(config, pair[1])
    theirs = [one.oof for one in baseline if one.oof is not None]
    ours = [one.oof for one in again if one.oof is not None]
    if len(theirs) < len(baseline) or len(ours) < len(again):
        return None
    if config.task == "hms":
        return gain_over_patients(theirs, ours, objective=config.objective, recorded=recorded)
    as_loss = config.learned.as_loss
    values = [(one.value, other.value) for one, other in zip(baseline, again, strict=True)]
    gains = [as_loss(one) - as_loss(other) for one, other in values if one is not None and other is not None]
    return gain_over_seeds(gains, recorded=recorded)


def _loss(config: StudyConfig, trial: RecordedTrial) -> float:
    return config.learned.as_loss(trial.row.value or 0.0)
