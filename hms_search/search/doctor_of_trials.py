"""What a study's trials show that wastes them: pruning, failures, bounds, and a search that no longer gets anywhere."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import mannwhitneyu

from hms_search.search.advisable import takes, takes_bound
from hms_search.search.aims import BREAKS_KEY
from hms_search.search.evidence import loss_of
from hms_search.search.field_limits import limits_of
from hms_search.search.findings import Finding
from hms_search.search.halving import PausingHalving
from hms_search.search.history import StudyHistory
from hms_search.search.importance import importances
from hms_search.search.narrowing import WIDENINGS, Narrow, is_settled
from hms_search.search.outcomes import has_paused, is_baseline
from hms_search.search.pruners import Threshold
from hms_search.search.rank_agreement import agreement
from hms_search.search.regions import End, Number, on_bound, place_in, region_of
from hms_search.search.report import SPARED_KEY
from hms_search.search.samplers import LEARN_OF_ENDED, CurveGp
from hms_search.search.schedules import Adaptive
from hms_search.search.space import Categorical, Int

_FEW_PRUNED = 4
"""With the baseline, which is not pruned, that makes the fifth trial of the report's failure the one that tells."""
_FEWEST_ENDED = 8
_FAILING_SHARE = 0.2
_OUTER = 0.2
_PATIENCE, _FEWEST_BEFORE = 20, 10
_NO_EFFECT = 0.5
_LEVEL = 0.05


def everything_pruned(history: StudyHistory) -> Iterator[Finding]:
    """Find that no trial but the baseline gets through, as in the report's last round: 40 of 40.

    One that was spared was to be pruned, too. Trials that pause are pruned only when the study is over.
    """
    config, pruner = history.config, history.config.pruner
    trials = [trial for trial in history.trained if not is_baseline(trial)]
    pruned = [trial for trial in trials if _was_to_be_pruned(trial)]
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE and SPARED_KEY not in trial.user_attrs]
    if len(pruned) < _FEW_PRUNED or completed or isinstance(pruner, PausingHalving):
        return
    ends = [value for one in pruned for value in _as_judged(one, history, one.user_attrs.get(SPARED_KEY))[-1:]]
    seen = f"{len(pruned)} of {len(trials)} trials besides the baseline were to be pruned, at {_span(ends)}"
    if isinstance(config.schedule, Adaptive) and _mostly_after_a_fold(pruned, history):
        keep = config.schedule.keep
        yield Finding(
            "warning",
            "every trial is pruned",
            f"{seen}, most at the end of a fold, by schedule adaptive, keep {keep:g}",
            f"schedule.keep: {(1 + keep) / 2:g}, or schedule: {{name: sequential}}",
        )
    elif isinstance(pruner, Threshold):
        bounds = {"lower": pruner.lower, "upper": pruner.upper}
        known = [trial for trial in history.trained if trial.state != TrialState.FAIL]
        yield Finding(
            "error",
            "every trial is pruned",
            f"{seen}, outside {', '.join(f'{name} {bound:g}' for name, bound in bounds.items() if bound is not None)}",
            "pruner: {name: median}, or bounds that hold "
            f"{_span([value for trial in known for value in _as_judged(trial, history)])}",
        )
    else:
        yield Finding(
            "warning",
            "every trial is pruned",
            seen,
            f"pruner: {{name: none}}, or a later start of pruner {pruner.name}",
        )


def constraints_exceeded(history: StudyHistory) -> Iterator[Finding]:
    """Find that most of the space exceeds what a trial may cost."""
    said = [trial.user_attrs[BREAKS_KEY] for trial in history.proposed if BREAKS_KEY in trial.user_attrs]
    if len(said) >= _FEW_PRUNED and len(said) > len(history.proposed) / 2:
        yield Finding(
            "warning",
            "most trials exceed a constraint",
            f"{len(said)} of {len(history.proposed)} trials besides the baseline, which were not trained; the last: "
            f"{said[-1]}",
            "a larger at_most in constraints, or a space of smaller networks",
        )


def failing(history: StudyHistory) -> Iterator[Finding]:
    """Find that many trials fail, of what, and which number tells them from the others."""
    failed = [trial for trial in history.ended if trial.state == TrialState.FAIL]
    n_told = len(history.ended) + len(history.paused)
    share = len(failed) / max(1, n_told)
    if len(failed) < 2 or share < _FAILING_SHARE:
        return
    reasons = Counter(str(trial.user_attrs.get("reason", "no reason was kept")) for trial in failed)
    reason, times = reasons.most_common(1)[0]
    yield Finding(
        "error" if share == 1 else "warning",
        "many trials fail",
        f"{len(failed)} of {n_told} trials ({share:.0%}), {times} of them because: {reason}",
        _culprit(history, failed) or f"look at trial {failed[-1].number}'s reason (hms-search show)",
    )


def left_running(history: StudyHistory) -> Iterator[Finding]:
    """Find trials that a session which died left as running: samplers keep away from them, and nobody ends them."""
    left = [trial for trial in history.trials if trial.state == TrialState.RUNNING and not has_paused(trial)]
    if history.abandoned and left:
        numbers = ", ".join(str(trial.number) for trial in left)
        yield Finding(
            "warning",
            "trials were left running by a session that died",
            f"trial{'s' if len(left) > 1 else ''} {numbers} of {len(history.trials)} are in state RUNNING, and no "
            "session of the study runs on this machine",
            f"run the study {history.config.name} again: that ends them and queues their parameters",
        )


def best_on_bound(history: StudyHistory) -> Iterator[Finding]:
    """Find numbers whose best trial, and most of the good ones, lie on a bound that is no limit of the field."""
    evidence, narrowing = history.evidence, Narrow()
    if len(evidence.trials) < _FEWEST_ENDED or evidence.best is None:
        return
    elite = evidence.elite(narrowing.quantile)
    for path, parameter in history.config.space.parameters.items():
        if isinstance(parameter, Categorical) or (end := on_bound(parameter, evidence.best.params[path])) is None:
            continue
        values = [trial.params[path] for trial in elite]
        inner = median(place_in(parameter, value) for value in values)
        if _OUTER < inner < 1 - _OUTER or not _falls_towards(end, path, parameter, history):
            continue  # chance put the best one there: the others lie elsewhere, or trials are not better that way
        bound = _beyond(end, path, parameter, history)
        if bound is not None:
            yield Finding(
                "warning",
                f"the best trial lies on a bound of {path}",
                f"trial {evidence.best.name} has {evidence.best.params[path]:.4g} in [{parameter.low:g}, "
                f"{parameter.high:g}], the best {len(elite)} trials {_span(values)}",
                f"parameters.{path}.{end}: {bound}, in another study or round",
            )


def no_improvement(history: StudyHistory) -> Iterator[Finding]:
    """Find that the last trials have not improved the best value by more than the noise."""
    losses = [loss_of(trial, history.direction) for trial in history.as_last_trained]
    patience = max(_PATIENCE, 2 * len(history.config.space.parameters))
    before, recent = losses[:-patience], losses[-patience:]
    if len(before) < _FEWEST_BEFORE or not np.isfinite(min(before)):
        return
    gain, noise = max(0.0, min(before) - min(recent)), history.evidence.told_apart
    if gain > noise or (noise == 0 and gain > 0):
        return
    than = f"less than the {noise:.2g} that tells two trials apart" if noise else "nothing"
    yield Finding(
        "warning",
        "the search no longer improves",
        f"the last {patience} trials gained {gain:.2g}, {than}",
        f"stop here, or search on in a narrower space: hms-search narrow {history.config.name} -o space.yaml",
    )


def without_effect(history: StudyHistory) -> Iterator[Finding]:
    """Find parameters whose importance is within the noise, where another one stands out. It takes a second."""
    space, evidence, narrowing = history.config.space, history.evidence, Narrow()
    if len(evidence.trials) < narrowing.needed(len(space.parameters)) or len(space.parameters) < 2:
        return
    if len(evidence.completed) < _FEW_PRUNED:
        return
    weighed = importances(space, evidence, quantile=narrowing.quantile, seed=history.config.seed)
    varied = {path: found for path, found in weighed.items() if not is_settled(space.parameters[path])}
    idle = {path: found.p_value for path, found in varied.items() if found.p_value > _NO_EFFECT}
    if idle and any(found.p_value <= _LEVEL for found in weighed.values()):
        shares = ", ".join(f"{path} ({p_value:.0%})" for path, p_value in idle.items())
        yield Finding(
            "note",
            "parameters without effect",
            f"as important in shuffled records of {len(evidence.trials)} trials: {shares}",
            f"take them out of parameters: hms-search narrow {history.config.name} -o space.yaml",
        )


def too_few_trials(history: StudyHistory) -> Iterator[Finding]:
    """Find that the budget is too small for the number of parameters, or is spent at random."""
    config = history.config
    n_parameters = len(config.space.parameters)
    needed = Narrow().needed(n_parameters)
    if config.trials < needed:
        yield Finding(
            "warning",
            "too few trials for the parameters",
            f"trials: {config.trials} over {n_parameters} parameters; below {needed} nothing can be told of them",
            f"trials: {needed} or more, or fewer parameters",
        )
    at_random = getattr(config.sampler, "n_startup_trials", 0)
    if at_random >= config.trials:
        fewest = max(1, int(limits_of(config.sampler, "n_startup_trials").low))
        yield Finding(
            "warning",
            "every trial is drawn at random",
            f"sampler.n_startup_trials is {at_random}, trials is {config.trials}",
            f"sampler.n_startup_trials: {max(fewest, config.trials // 4)}, or more trials"
            if config.trials > fewest
            else "more trials",
        )


def sampler_that_waits(history: StudyHistory) -> Iterator[Finding]:
    """Find that the sampler learns of trials that ended, and the pruner ends few before the study is over."""
    sampler, pruner = history.config.sampler.name, history.config.pruner
    if sampler in LEARN_OF_ENDED and isinstance(pruner, PausingHalving):
        may_wait = takes(history.config, sampler=CurveGp())
        yield Finding(
            "warning",
            "the sampler learns nothing of trials that pause",
            f"sampler {sampler} learns of trials that ended; of those that come to a rung, pruner {pruner.name} lets "
            f"one of {pruner.reduction_factor} go on, and the others wait until the study is over",
            f"pruner: {{name: median}}{', or sampler: {name: curve_gp}' if may_wait else ''}",
        )


def _was_to_be_pruned(trial: FrozenTrial) -> bool:
    stopped = trial.state == TrialState.PRUNED or SPARED_KEY in trial.user_attrs
    return stopped and BREAKS_KEY not in trial.user_attrs


def _mostly_after_a_fold(stopped: Sequence[FrozenTrial], history: StudyHistory) -> bool:
    """Say whether most of the trials were to be stopped by their last epoch of a fold."""
    trained = [int(trial.user_attrs.get(SPARED_KEY, len(trial.intermediate_values))) for trial in stopped]
    return 2 * sum(n > 0 and history.config.steps.ends_fold(n - 1) for n in trained) > len(trained)


def _beyond(end: End, path: str, parameter: Number, history: StudyHistory) -> int | float | None:
    """Return a bound beyond the one that the best trial lies on; None where none is possible."""
    evidence, narrowing, space = history.evidence, Narrow(), history.config.space
    if evidence.best is None:
        return None
    for share in WIDENINGS:
        region = region_of(
            parameter,
            [trial.params[path] for trial in evidence.elite(narrowing.quantile)],
            evidence.best.params[path],
            limits=limits_of(space.base, path),
            margin=narrowing.margin,
            widen=narrowing.widen * share,
        )
        bound = _written(parameter, getattr(region, end))
        if region.passed and takes_bound(space, path, end, bound):
            return bound
    return None


def _written(parameter: Number, bound: float) -> int | float:
    """Return a bound as it is to be written: whole where its parameter is, to four digits where it is not."""
    return int(bound) if isinstance(parameter, Int) else float(f"{bound:.4g}")


def _falls_towards(end: End, path: str, parameter: Number, history: StudyHistory) -> bool:
    """Say whether losses fall towards a bound over all completed trials, beyond chance."""
    completed = history.evidence.completed
    places = np.array([place_in(parameter, trial.params[path]) for trial in completed])
    found = agreement(places, np.array([trial.loss for trial in completed]))
    return found is not None and (found.low > 0 if end == "low" else found.high < 0)


def _as_judged(trial: FrozenTrial, history: StudyHistory, until: int | None = None) -> list[float]:
    """Return what a pruner sees of a trial's first steps: values after the warm-up, of interleaved folds their mean."""
    steps, values = history.config.steps, trial.intermediate_values
    warmup = getattr(history.config.pruner, "n_warmup_epochs", 0)
    places = [(step, steps.curve_at(step)) for step in sorted(values)[:until]]
    return [steps.point(values, step) for step, place in places if place is not None and place.epoch >= warmup]


def _culprit(history: StudyHistory, failed: Sequence[FrozenTrial]) -> str:
    """Return the bound to move where failed trials have larger or smaller numbers than the others, or nothing."""
    others = [trial for trial in history.ended if trial.state != TrialState.FAIL]
    told: list[tuple[float, str, End, int | float]] = []
    for path, parameter in history.config.space.parameters.items():
        if isinstance(parameter, Categorical):
            continue
        theirs = [trial.params[path] for trial in failed if path in trial.params]
        ours = [trial.params[path] for trial in others if path in trial.params]
        if theirs and ours and len(set(theirs + ours)) > 1:
            end: End = "high" if median(theirs) > median(ours) else "low"
            bound = _written(parameter, min(theirs) if end == "high" else max(theirs))
            told.append((float(mannwhitneyu(theirs, ours).pvalue), path, end, bound))
    if not told:
        return ""
    p_value, path, end, bound = min(told)
    if p_value * len(told) > _LEVEL or not takes_bound(history.config.space, path, end, bound):
        return ""
    where = "or less (failed from there on)" if end == "high" else "or more (failed up to there)"
    return f"parameters.{path}.{end}: {bound} {where}"


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}" if values else "no values"
