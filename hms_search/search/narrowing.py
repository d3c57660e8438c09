"""Narrowing: from a space and the trials run in it, the space of the next round, and why each bound moved.

The report narrowed its space by hand every 20 trials. Here a number keeps the region of the best trials, and goes past
a bound that the best lies on; a choice that is worse beyond chance is dropped; a parameter without effect is frozen at
the best trial's value, as the report did with betas and weight decay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import optuna
from optuna.trial import FrozenTrial
from pydantic import Field
from scipy.stats import mannwhitneyu

from hms_search.component import Component
from hms_search.document import Document
from hms_search.experiment import ExperimentConfig
from hms_search.search.carrying import fits
from hms_search.search.evidence import Evidence, Scored, evidence_of
from hms_search.search.field_limits import limits_of
from hms_search.search.importance import Importance, importances
from hms_search.search.lineage import Change, Kind
from hms_search.search.outcomes import Direction
from hms_search.search.regions import Number, on_bound, region_of
from hms_search.search.space import Categorical, Int, Parameter, SearchSpace

_FEWEST_OF_A_CHOICE = 3
_FEWEST_GOOD = 3
_TRIALS_PER_PARAMETER = 2
_TRIALS_PER_PARAMETER_TO_FREEZE = 6
"""Of fewer, parameters that matter are frozen too; figures in docs/decisions.md."""
WIDENINGS = (1.0, 0.25, 0.0)
"""Shares of a parameter's widening that are tried in turn, until every experiment in the space is valid."""


class Narrow(Component):
    """How much evidence moves a space.

    Attributes
    ----------
    quantile
        The best share of the trials, whose region is kept; trials that cannot be told from the best are in it, too.
    margin, widen
        What is added around that region, and beyond a bound that the best trial lies on: shares of the old range, in
        the parameter's own scale.
    alpha
        A choice is dropped where none of its trials is among the best and they are worse than those of the best one's
        choice at this level (one-sided rank test, the level divided by the number of choices compared).
    freeze
        A parameter is frozen where more than this share of shuffled records make it look as important, if another one
        stands out at ``alpha`` and there are six trials per parameter; 1: none is.
    min_trials
        Fewest trials to narrow from; there must also be two per parameter.
    """

    quantile: float = Field(0.25, gt=0, lt=1)
    margin: float = Field(0.1, ge=0)
    widen: float = Field(0.5, ge=0)
    alpha: float = Field(0.05, gt=0, lt=1)
    freeze: float = Field(0.2, gt=0, le=1)
    min_trials: int = Field(10, ge=4)

    def needed(self, n_parameters: int) -> int:
        """Return how many trials of a space with so many parameters it takes to narrow it."""
        return max(self.min_trials, _TRIALS_PER_PARAMETER * n_parameters)


@dataclass(frozen=True)
class Narrowed:
    """A space for the next round, and what became of each parameter of the one before."""

    space: SearchSpace
    changes: tuple[Change, ...]

    @property
    def moved(self) -> tuple[Change, ...]:
        """The changes without the parameters that are as they were."""
        return tuple(change for change in self.changes if change.kind != "kept")


def narrow(
    space: SearchSpace,
    trials: Sequence[FrozenTrial],
    config: Narrow | None = None,
    *,
    direction: Direction = "minimize",
    seed: int = 0,
) -> Narrowed:
    """Return the space that the trials leave, its base the best trial's experiment; the same for the same record.

    Trials outside the space are passed over. Where there are too few trials, or they differ by chance only, nothing
    moves and each change says why. A bound is widened only as far as every experiment in the space stays valid.
    """
    config = config or Narrow()
    evidence = evidence_of([trial for trial in trials if fits(trial.params, space)], direction)
    unclear = _unclear(space, evidence, config)
    if unclear or evidence.best is None:
        return _unmoved(space, evidence, unclear)
    base = space.suggest(optuna.trial.FixedTrial(dict(evidence.best.params)))
    weighed = importances(space, evidence, quantile=config.quantile, seed=seed)
    narrowed = _as_wide_as_fits(_Rule(space, evidence, config, evidence.best, base, weighed))
    if _misfit(narrowed):
        return _unmoved(space, evidence, "the narrowed space would allow experiments that do not fit together")
    return narrowed


def described(parameter: Parameter) -> str:
    """Return a parameter's range or choices in a few words."""
    if isinstance(parameter, Categorical):
        return ", ".join(str(name) for name in parameter.named)
    steps = f", step {parameter.step:g}" if parameter.step not in (None, 1) else ""
    return f"{parameter.low:g} to {parameter.high:g}{', log' if parameter.log else ''}{steps}"


def is_settled(parameter: Parameter) -> bool:
    """Say whether a parameter has a single choice left; it stays one, so that trials of the others lie outside."""
    return isinstance(parameter, Categorical) and len(parameter.named) == 1


def _unclear(space: SearchSpace, evidence: Evidence, config: Narrow) -> str:
    """Return why the trials say too little to move anything, or nothing."""
    n, needed = len(evidence.trials), config.needed(len(space.parameters))
    good = len(evidence.elite(config.quantile))
    if n < needed:
        return f"{n} finished trials, at least {needed} are needed for {len(space.parameters)} parameters"
    if good < _FEWEST_GOOD:
        return f"{len(evidence.completed)} of {n} trials completed, at least {_FEWEST_GOOD} among the best are needed"
    if evidence.p_equal is not None and evidence.p_equal > config.alpha:
        return (
            f"the {len(evidence.completed)} completed trials differ by no more than chance (p = {evidence.p_equal:.2g})"
        )
    return ""


def _unmoved(space: SearchSpace, evidence: Evidence, reason: str) -> Narrowed:
    def kept(path: str, parameter: Parameter) -> Change:
        words = described(parameter)
        return Change(path, "kept", words, words, reason, trials=len(evidence.trials))

    return Narrowed(space, tuple(kept(path, parameter) for path, parameter in space.parameters.items()))


def _as_wide_as_fits(rule: "_Rule") -> Narrowed:
    """Return what a rule makes of its space, each widening less one after the other until all experiments are valid."""
    narrowed = rule.narrowed()
    if not _misfit(narrowed):
        return narrowed
    widened = [change.path for change in narrowed.changes if change.kind == "widened"]
    rule = replace(rule, held={path: _Held(0.0) for path in widened})
    for path in widened:
        misfit = ""
        for share in WIDENINGS:
            tried = replace(rule, held={**rule.held, path: _Held(share, misfit)})
            if not (misfit := _misfit(tried.narrowed())):
                break
        rule = tried
    return rule.narrowed()


def _misfit(narrowed: Narrowed) -> str:
    """Return which experiments of a new space are none, the first of them, and why; nothing where all are valid."""
    name = narrowed.space.name
    found = narrowed.space.faults(Document(narrowed.space.to_dict(), {(): name}))
    return found[0].removeprefix(f"{name}: ") if found else ""


@dataclass(frozen=True)
class _Held:
    """Which share of its widening a parameter has, and what did not fit together with a larger one."""

    share: float
    misfit: str = ""


@dataclass(frozen=True)
class _Rule:
    """How the parameters of one space move, given one record."""

    space: SearchSpace
    evidence: Evidence
    config: Narrow
    best: Scored
    base: ExperimentConfig
    weighed: Mapping[str, Importance]
    held: Mapping[str, _Held] = field(default_factory=dict)
    """The parameters that are widened by less than they would be."""

    def narrowed(self) -> Narrowed:
        """Return the space that is left, whether or not all experiments in it are valid."""
        moves = [self.move(path) for path in self.space.parameters]
        parameters = {change.path: parameter for parameter, change in moves if parameter is not None}
        space = self.space.model_copy(update={"base": self.base, "parameters": parameters})
        return Narrowed(space, tuple(change for _, change in moves))

    def move(self, path: str) -> tuple[Parameter | None, Change]:
        """Return what becomes of a parameter, None where it is frozen, and why."""
        parameter, p_value = self.space.parameters[path], self.weighed[path].p_value
        if (
            self._tells_importance
            and p_value > max(self.config.freeze, self.config.alpha)
            and not is_settled(parameter)
        ):
            reason = (
                f"its importance is within the noise: {p_value:.0%} of shuffled records make it look as important; "
                f"the value is trial {self.best.name}'s"
            )
            return None, self._change(path, "frozen", str(self.best.params[path]), reason, p_value=p_value)
        if isinstance(parameter, Categorical):
            return self._choices(path, parameter)
        return self._number(path, parameter)

    @property
    def _tells_importance(self) -> bool:
        """Whether there are trials enough to tell who matters, and somebody does."""
        enough = len(self.evidence.trials) >= _TRIALS_PER_PARAMETER_TO_FREEZE * len(self.space.parameters)
        return enough and any(importance.p_value <= self.config.alpha for importance in self.weighed.values())

    def _number(self, path: str, parameter: Number) -> tuple[Parameter, Change]:
        elite = self.evidence.elite(self.config.quantile)
        held = self.held.get(path, _Held(1.0))
        region = region_of(
            parameter,
            [trial.params[path] for trial in elite],
            self.best.params[path],
            limits=limits_of(self.space.base, path),
            margin=self.config.margin,
            widen=self.config.widen * held.share,
        )
        number = int if isinstance(parameter, Int) else float
        bounds = {"low": number(region.low), "high": number(region.high)}
        moved = type(parameter).model_validate({**parameter.to_dict(), **bounds})
        reason = f"the best {len(elite)} trials lie from {_span(trial.params[path] for trial in elite)}"
        if region.passed:
            reason += f"; the best, trial {self.best.name}, lies on the {region.passed[0]} bound: it is passed"
            reason += f", by less than it would be: {held.misfit}" if held.misfit else ""
        elif held.misfit:
            end = on_bound(parameter, self.best.params[path])
            reason += f"; the best, trial {self.best.name}, lies on the {end} bound, and a widened range would not fit"
            reason += f": {held.misfit}"
        if region.blocked:
            reason += f"; the best, trial {self.best.name}, lies on the {region.blocked[0]} bound, which is a limit"
        kind: Kind = "widened" if region.passed else "kept" if moved == parameter else "narrowed"
        return moved, self._change(path, kind, described(moved), reason, quantile=self.config.quantile)

    def _choices(self, path: str, parameter: Categorical) -> tuple[Categorical, Change]:
        """Return the choices that are left, one at least, and why."""
        own = self.best.params[path]
        p_values = {name: self._worse(path, name, own) for name in parameter.named if name != own}
        level = self.config.alpha / max(1, len(p_values))
        worse = {name: p for name, p in p_values.items() if p <= level}
        if not worse:
            return parameter, self._change(path, "kept", described(parameter), "no choice is worse beyond chance")
        told = ", ".join(f"{name} (p = {p:.2g})" for name, p in worse.items())
        reason = f"worse than {own} beyond chance: {told}"
        left = [name for name in parameter.named if name not in worse]
        choices = parameter.choices
        kept = {str(name): choices[str(name)] for name in left} if isinstance(choices, dict) else left
        moved = Categorical.model_validate({"type": "categorical", "choices": kept})
        return moved, self._change(path, "dropped", described(moved), reason, p_value=max(worse.values()))

    def _worse(self, path: str, name: object, own: object) -> float:
        """Return the p-value of a choice's trials being no worse than those of the best trial's choice."""
        elite = self.evidence.elite(self.config.quantile)
        theirs = [trial.loss for trial in self.evidence.trials if trial.params[path] == name]
        ours = [trial.loss for trial in self.evidence.trials if trial.params[path] == own]
        if min(len(theirs), len(ours)) < _FEWEST_OF_A_CHOICE or any(trial.params[path] == name for trial in elite):
            return 1.0
        return float(mannwhitneyu(theirs, ours, alternative="greater").pvalue)

    def _change(
        self,
        path: str,
        kind: Kind,
        after: str,
        reason: str,
        *,
        quantile: float | None = None,
        p_value: float | None = None,
    ) -> Change:
        return Change(
            path,
            kind,
            described(self.space.parameters[path]),
            after,
            reason,
            trials=len(self.evidence.trials),
            quantile=quantile,
            p_value=p_value,
        )


def _span(values: Iterable[float]) -> str:
    found = sorted(values)
    return f"{found[0]:.4g} to {found[-1]:.4g}"
