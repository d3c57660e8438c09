"""Carrying trials over: which trials of one space are trials of another, and the same trials in its words.

Narrowing a range inside one Optuna study switches its joint model off for that parameter, and changing choices raises.
So each space has a study of its own, to which the trials that fit are added anew, under the new distributions.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from hms_search.search.outcomes import CARRIED_KEY, PARAMS_KEY, RETRY_KEY, origin_of
from hms_search.search.space import Categorical, Parameter, SearchSpace, placed

CARRIED_STATES = (TrialState.COMPLETE, TrialState.PRUNED)
"""What is carried over: a trial that failed may be tried again."""
Moved = Callable[[FrozenTrial], Mapping[str, Any]]


def fits(params: Mapping[str, Any], space: SearchSpace) -> bool:
    """Say whether parameters lie in a space; those that the space does not vary are passed over."""
    return all(path in params and has(parameter, params[path]) for path, parameter in space.parameters.items())


def carried(
    trials: Iterable[FrozenTrial], space: SearchSpace, *, study: str, moved: Moved = lambda trial: trial.params
) -> tuple[FrozenTrial, ...]:
    """Return the trials that fit a space under its distributions, each marked with the study and number it came from.

    Completed and pruned trials; a trial that was itself carried keeps its first origin. One that was run again says no
    longer which one it repeats, whose number is another trial's in the other study. A parameter that the space no
    longer varies is left out: it was frozen because its effect is within the noise. ``moved`` says what a trial's
    parameters are called in the space.
    """
    return tuple(_carried(trials, space, study, moved))


def _carried(trials: Iterable[FrozenTrial], space: SearchSpace, study: str, moved: Moved) -> Iterator[FrozenTrial]:
    distributions = space.distributions
    for trial in sorted(trials, key=origin_of):  # what was interrupted in between changes nothing
        params = moved(trial)
        if trial.state not in CARRIED_STATES or not fits(params, space):
            continue
        origin = {CARRIED_KEY: f"{study}#{trial.number}", PARAMS_KEY: dict(trial.params)}
        known = {name: value for name, value in trial.user_attrs.items() if name != RETRY_KEY}
        made = create_trial(
            state=trial.state,
            values=trial.values,
            params={path: placed(distribution, params[path]) for path, distribution in distributions.items()},
            distributions=distributions,
            intermediate_values=trial.intermediate_values,
            user_attrs={**origin, **known},
        )
        for name, excess in trial.constraints.items():
            made.set_constraint(name, excess)
        made.datetime_start, made.datetime_complete = trial.datetime_start, trial.datetime_complete
        yield made


def has(parameter: Parameter, value: object) -> bool:
    """Say whether a value, or the name of a choice, is one that a parameter may have."""
    if isinstance(parameter, Categorical):
        return isinstance(value, Hashable) and value in parameter.named  # not so what was a list or a component
    return parameter.contains(value)
