"""What a study has found, as plain values: one row per trial, the best, the baseline, and how sure they are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.data.fold_words import Level
from hms_search.errors import StudyError
from hms_search.search.aims import BREAKS_KEY, COSTS, Wanted, as_losses, pareto_front, wanted_of
from hms_search.search.foreign import why_foreign
from hms_search.search.lineage import FIRST_KEY, Change, Lineages, frozen_by, lineages_of
from hms_search.search.outcomes import OUTCOME_KEY, PARAMS_KEY, SAME_KEY, carried_from
from hms_search.search.repeated import NOISE_KEY, RECHECK_KEY, Again, again_of
from hms_search.search.study_attributes import CONFIG_KEY, study_names
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS, Task

SPARED_KEY = "spared_at"
"""The step at which a trial that completed would have been stopped, but for the floor or the audit."""
KEPT_METRICS = (*dict.fromkeys(name for task in TASKS.values() for name in task.kept), *COSTS)
"""The metrics of all out-of-fold rows, and costs, that the study itself keeps; the MLflow run has them all."""


OPTIMISTIC = (
    "optimistic: epochs are chosen on the rows they are scored on, or targets may know their labels; the values flatter"
)


@dataclass(frozen=True)
class TrialRow:
    """One trial: its outcome, value (mean over folds), the folds' values, parameters and metrics.

    ``carried_from`` is the study and number of one that was run in an earlier round; ``spared_at`` the step at which it
    would have been stopped, but for the floor or the audit. ``aims`` are the values of each aim, if there are
    several; ``breaks`` says which constraint it exceeds. ``same_as`` is the trial whose record answered one of the same
    configuration. ``ran_with`` are all parameters of a trial of another study, as they were there.
    """

    number: int
    outcome: str
    value: float | None
    folds: tuple[float, ...]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    reason: str
    seconds: float | None
    run_id: str
    baseline: bool
    carried_from: tuple[str, int] | None = None
    spared_at: int | None = None
    aims: tuple[float, ...] = ()
    breaks: str = ""
    same_as: int | None = None
    ran_with: Mapping[str, Any] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval over patients of the objective's metric on all out-of-fold rows."""
        for low, high in (task.interval for task in TASKS.values()):
            if low in self.metrics:
                return self.metrics[low], self.metrics[high]
        return None


@dataclass(frozen=True)
class StudyReport:
    """A study's trials in the order they were asked, what it optimises and when it began.

    ``rounds`` says why the bounds of all rounds of the search are where they are; ``first_baseline`` is the first
    round's baseline, a trial of that study, under its number there. ``noise`` and ``recheck`` say what the best trials
    were worth when they were run again, under other seeds and on other folds.

    ``optimistic``: epochs are chosen on the rows they are scored on, or targets may know their labels.
    """

    name: str
    task: Task
    objective: Stratum
    wanted: Wanted
    level: Level
    n_folds: int
    total: int
    optimistic: bool
    rows: tuple[TrialRow, ...]
    started: datetime | None
    rounds: Lineages
    first_baseline: TrialRow | None = None
    noise: Again | None = None
    recheck: Again | None = None

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many trials ended (or go on) in each way, without those of earlier rounds."""
        return Counter(row.outcome for row in self.rows if row.carried_from is None)

    @property
    def lineage(self) -> tuple[Change, ...]:
        """Why a later round's bounds are where they are; nothing for a first one."""
        return self.rounds[self.name]

    @cached_property
    def best(self) -> TrialRow | None:
        """The completed trial with the best value, of several aims the first; none that exceeds a constraint."""
        return next((row for row in self.best_first if row.outcome == "complete" and not row.breaks), None)

    @cached_property
    def candidates(self) -> tuple[TrialRow, ...]:
        """What the best was chosen from, best first: each configuration once, none that exceeds a constraint."""
        return tuple(
            row for row in self.best_first if row.outcome == "complete" and not row.breaks and row.same_as is None
        )

    @cached_property
    def front(self) -> tuple[TrialRow, ...]:
        """The trials that no other one beats in all aims, the best in the first aim first; none of a single aim."""
        rows = [row for row in self.candidates if row.aims]
        if not rows:
            return ()
        kept = pareto_front(as_losses([row.aims for row in rows], self.wanted.directions))
        return tuple(row for row, on_front in zip(rows, kept, strict=True) if on_front)

    @cached_property
    def best_first(self) -> tuple[TrialRow, ...]:
        """The trials by value, then those that exceed a constraint, those without a value at the end."""

        def rank(row: TrialRow) -> tuple[bool, bool, float, int]:
            return row.value is None, bool(row.breaks), self.task.as_loss(row.value or 0.0), row.number

        return tuple(sorted(self.rows, key=rank))

    @property
    def spared(self) -> str:
        """How often stopping would have been wrong, in words; empty where no trial was spared.

        It would have been where the trial ended better than all that nothing would have stopped. Those that were spared
        in an earlier round are counted there.
        """
        completed = [
            row
            for row in self.best_first
            if row.outcome == "complete"
            and row.value is not None
            and (row.carried_from is None or row.spared_at is None)
        ]
        spared = [row for row in completed if row.spared_at is not None]
        others = [row for row in completed if row.spared_at is None]
        if not spared:
            return ""
        ahead = completed.index(others[0]) if others else len(completed)
        count = (
            f"{len(spared)} trials that would have been stopped were"
            if len(spared) > 1
            else "1 trial that would have been stopped was"
        )
        return f"{count} finished all the same (floor, audit or straight): {ahead} ended better than all others"

    @property
    def both_levels(self) -> Mapping[str, str]:
        """The metrics of the value on folds of files and of patients, by a heading, where the task wants both."""
        return {f"{self.task.symbol} by {level}": name for level, name in self.task.levels.items()}

    @property
    def own_baseline(self) -> TrialRow | None:
        """The baseline where it is a trial of this study: not where it lies outside of a later round's space."""
        return _baseline_of(self.rows)

    @property
    def baseline(self) -> TrialRow | None:
        """The completed trial of the space's own base, of a later round the first one's."""
        return self.own_baseline or self.first_baseline

    def trial_name(self, row: TrialRow) -> str:
        """Return what a trial is called here, with its study if that is another one."""
        study = f" of {row.carried_from[0]}" if row is self.first_baseline and row.carried_from else ""
        return f"trial {row.number}{study}"

    def all_params(self, row: TrialRow) -> Mapping[str, Any]:
        """Return a trial's parameters, and what it ran with of those that were frozen since the first round."""
        study = self.name if row.carried_from is None else row.carried_from[0]
        held = {**frozen_by(self.rounds, study), **row.ran_with}
        frozen = frozen_by(self.rounds, self.name).keys() - row.params.keys()
        return {**row.params, **{path: value for path, value in held.items() if path in frozen}}

    def metrics(self) -> dict[str, float]:
        """Return the study's summary as metrics for its parent run."""
        found = {f"trials_{outcome}": float(count) for outcome, count in self.outcomes.items()}
        if self.wanted.aims:
            found["trials_on_the_front"] = float(len(self.front))
        for name, row in (("best", self.best), ("baseline", self.baseline)):
            if row is not None and row.value is not None:
                found[f"{name}_value"] = row.value
                if row is not self.first_baseline:
                    found[f"{name}_trial"] = float(row.number)
        return found

    def table(self) -> list[dict[str, Any]]:
        """Return one flat mapping per trial, for a table artifact."""
        return [
            {
                "trial": row.number,
                "outcome": row.outcome,
                "value": row.value,
                "run_id": row.run_id,
                "reason": row.reason,
                **dict(zip(self.wanted.names[1:], row.aims[1:], strict=False)),
                **row.params,
            }
            for row in self.rows
        ]


def report_of(study: optuna.Study) -> StudyReport:
    """Return the report of a study that hms-search made; raises StudyError for another one."""
    if CONFIG_KEY not in study.user_attrs:
        raise StudyError(why_foreign(study.study_name, study.user_attrs))
    config = study.user_attrs[CONFIG_KEY]
    trials = study.get_trials(deepcopy=False)
    return StudyReport(
        name=study.study_name,
        task=TASKS[config.get("task", "hms")],
        objective=config["objective"],
        wanted=wanted_of(config),
        level="patient" if config["folds"]["name"] == "grouped" else "file",
        n_folds=len(config["folds"]["use"] or range(config["folds"]["n_folds"])),
        total=config["trials"],
        optimistic=_optimistic(config["space"]),
        rows=tuple(_row(trial) for trial in trials),
        started=min((trial.datetime_start for trial in trials if trial.datetime_start), default=None),
        rounds=lineages_of(study),
        first_baseline=_first_baseline(study),
        noise=again_of(study, NOISE_KEY),
        recheck=again_of(study, RECHECK_KEY),
    )


def _optimistic(space: Mapping[str, Any]) -> bool:
    """Say of a stored space what :attr:`hms_search.training.config.TrainingConfig.optimistic` says of a training."""
    training = space["base"]["training"]
    soft = [training.get(name) for name in ("noisy_student", "pseudo_labels")]
    leaks = any(one is not None and one["optimistic"] for one in soft)
    return leaks or training["select"] == "best" or "training.select" in space["parameters"]


def all_reports(storage: optuna.storages.BaseStorage) -> list[StudyReport]:
    """Return the reports of every study in a storage that hms-search made."""
    made_here = [study.study_name for study in storage.get_all_studies() if CONFIG_KEY in study.user_attrs]
    return [report_of(optuna.load_study(study_name=name, storage=storage)) for name in made_here]


def find_report(storage: optuna.storages.BaseStorage, name: str) -> StudyReport:
    """Return the report of the study of that name; raises StudyError listing the ones there are."""
    return report_of(find_study(storage, name))


def find_study(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
    """Return the study of that name; raises StudyError listing the ones there are."""
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        names = study_names(storage)
    known = f"there are: {', '.join(sorted(names))}" if names else "there are none yet; hms-search run makes one"
    raise StudyError(f"no study {name!r}; {known}")


def _first_baseline(study: optuna.Study) -> TrialRow | None:
    """Return the completed baseline of a later round's first one; None of others, and where that one is not there."""
    first = study.user_attrs.get(FIRST_KEY)
    if first is None or first not in study_names(study._storage):
        return None
    trials = optuna.load_study(study_name=first, storage=study._storage).get_trials(deepcopy=False)
    found = _baseline_of(map(_row, trials))
    return None if found is None else replace(found, carried_from=(first, found.number), ran_with=found.params)


def _baseline_of(rows: Iterable[TrialRow]) -> TrialRow | None:
    return next((row for row in rows if row.baseline and row.outcome == "complete"), None)


def _row(trial: FrozenTrial) -> TrialRow:
    kept = trial.user_attrs
    states = {TrialState.RUNNING: "running", TrialState.WAITING: "queued"}
    return TrialRow(
        number=trial.number,
        outcome=states.get(trial.state) or kept.get(OUTCOME_KEY, "failed"),
        value=trial.values[0] if trial.state == TrialState.COMPLETE else None,
        folds=tuple(kept.get("folds", ())),
        params=trial.params,
        metrics={name: kept[name] for name in KEPT_METRICS if name in kept},
        reason=kept.get("reason", ""),
        seconds=kept.get("seconds"),
        run_id=kept.get("mlflow_run_id", ""),
        baseline=bool(kept.get("baseline")),
        carried_from=carried_from(trial),
        spared_at=kept.get(SPARED_KEY),
        aims=tuple(trial.values) if trial.state == TrialState.COMPLETE and len(trial.values) > 1 else (),
        breaks=kept.get(BREAKS_KEY, ""),
        same_as=kept.get(SAME_KEY),
        ran_with=kept.get(PARAMS_KEY, {}),
    )
