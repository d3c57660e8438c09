"""Narrowing: the space of the next round follows from the trials of the last."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from hms_search.document import parse_yaml
from hms_search.search import narrowing
from hms_search.search.carrying import fits
from hms_search.search.narrowing import Narrow, Narrowed, narrow
from hms_search.search.regions import Region
from hms_search.search.space import SearchSpace
from hms_search.search.space_file import narrowed_text

TEXT = """\
name: small
base:
  pipeline: {source: spectrogram, clip_log: {low: -6, high: 10}, resize: [32, 64]}
  model: {name: timm, backbone: resnet18, dropout: 0.1}
  training: {epochs: 2, optimiser: {name: adamw, lr: 5.0e-4}, scheduler: {name: cosine}}
parameters:
  training.optimiser.lr: {type: float, low: 1e-4, high: 1e-3, log: true}
  model.dropout: {type: float, low: 0.0, high: 0.5}
  pipeline.clip_log.high: {type: float, low: 6, high: 12}
  pipeline.gap_fill: {type: categorical, choices: [floor, mean]}
  training.scheduler:
    type: categorical
    choices: {cosine: {name: cosine}, step: {name: step}, constant: {name: constant}}
"""
LR, DROPOUT, CLIP, GAPS, SCHEDULER = (
    "training.optimiser.lr",
    "model.dropout",
    "pipeline.clip_log.high",
    "pipeline.gap_fill",
    "training.scheduler",
)
BEST_LR = 2.5e-3
Objective = Callable[[optuna.Trial], float]


@cache
def space(**ranges: str) -> SearchSpace:
    """The small space with some ranges replaced."""
    document = parse_yaml(TEXT, source="small.yaml")
    for path, text in ranges.items():
        document = document.with_setting(f"parameters.{path}={text}")
    return SearchSpace.from_document(document)


def distance(trial: optuna.Trial) -> float:
    """A loss in which only the rate matters, best beyond the first round's bound."""
    return math.log(trial.params[LR] / BEST_LR) ** 2


def searched(
    searched_space: SearchSpace, loss: Objective, *, seed: int, trials: int = 24, direction: str = "minimize"
) -> list[FrozenTrial]:
    rng = np.random.default_rng(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), direction=direction)

    def noisy(trial: optuna.Trial) -> float:
        searched_space.suggest(trial)
        return loss(trial) + 0.02 * rng.normal()

    study.optimize(noisy, trials)
    return study.trials


def made(params: dict[str, object], value: float | None = None, **attributes: object) -> FrozenTrial:
    """A trial of the small space, pruned where it has no value."""
    everything = {**space().baseline(), **params}
    trial = create_trial(
        state=TrialState.COMPLETE if value is not None else TrialState.PRUNED,
        value=value,
        params=everything,
        distributions={path: space().parameters[path].distribution for path in everything},
        user_attrs=dict(attributes),
    )
    trial.number = round(1000 * (value or 0))
    return trial


def kind(narrowed: Narrowed, path: str) -> str:
    return next(change.kind for change in narrowed.changes if change.path == path)


@pytest.mark.parametrize("seed", range(5))
def test_an_optimum_beyond_the_first_rounds_bound_is_found_in_the_second_round(seed: int) -> None:
    first = space()
    narrowed = narrow(first, searched(first, distance, seed=seed), seed=seed)
    assert kind(narrowed, LR) == "widened"
    second = searched(narrowed.space, distance, seed=seed + 100)
    found = min(second, key=lambda trial: trial.value or 0).params[LR]
    assert found > first.parameters[LR].high
    assert abs(math.log(found / BEST_LR)) < 0.25


def test_what_matters_is_kept_and_what_does_not_is_frozen_in_most_seeds() -> None:
    def loss(trial: optuna.Trial) -> float:
        return math.log(trial.params[LR] / 4e-4) ** 2 + 10 * (trial.params[DROPOUT] - 0.3) ** 2

    searches = [searched(space(), loss, seed=seed, trials=36) for seed in range(6)]
    changes = [narrow(space(), trials, seed=seed) for seed, trials in enumerate(searches)]
    frozen = {path: sum(kind(one, path) == "frozen" for one in changes) for path in space().parameters}
    assert max(frozen[LR], frozen[DROPOUT]) <= 1
    assert frozen[CLIP] + frozen[GAPS] + frozen[SCHEDULER] >= 12


def test_nothing_is_frozen_by_too_few_trials_to_tell() -> None:
    few = narrow(space(), searched(space(), distance, seed=0, trials=29))
    assert few.moved
    assert not [change for change in few.changes if "importance" in change.reason]


def test_a_frozen_parameter_has_the_best_trials_value() -> None:
    trials = searched(space(), distance, seed=0, trials=36)
    narrowed = narrow(space(), trials)
    best = min(trials, key=lambda trial: trial.value or 0)
    frozen = [change.path for change in narrowed.changes if change.kind == "frozen"]
    assert frozen
    assert not set(frozen) & set(narrowed.space.parameters)
    assert narrowed.space.base == space().suggest(optuna.trial.FixedTrial(best.params))


def test_the_best_trial_is_in_the_narrowed_space_which_is_a_valid_one() -> None:
    trials = searched(space(), distance, seed=3)
    narrowed = narrow(space(), trials).space
    best = min(trials, key=lambda trial: trial.value or 0)
    assert fits(best.params, narrowed)
    assert SearchSpace.from_document(parse_yaml(narrowed.model_dump_json(), source="narrowed")) == narrowed


def test_too_few_trials_move_nothing_and_say_why() -> None:
    narrowed = narrow(space(), searched(space(), distance, seed=0, trials=9))
    assert narrowed.space == space()
    assert {change.kind for change in narrowed.changes} == {"kept"}
    assert all("9 finished trials, at least 10" in change.reason for change in narrowed.changes)


def test_a_round_in_which_everything_was_pruned_moves_nothing() -> None:
    narrowed = narrow(space(), [made({DROPOUT: 0.01 * number}) for number in range(40)])
    assert narrowed.space == space()
    assert "0 of 40 trials completed" in narrowed.changes[0].reason


def test_trials_that_differ_by_chance_only_move_nothing() -> None:
    rng = np.random.default_rng(0)

    def by_chance() -> list[FrozenTrial]:
        folds = 0.8 + 0.1 * rng.normal(size=(30, 2))
        return [
            made({DROPOUT: 0.016 * number}, float(row.mean()), folds=row.tolist()) for number, row in enumerate(folds)
        ]

    narrowed = [narrow(space(), by_chance()) for _ in range(10)]
    unmoved = [one for one in narrowed if one.space == space()]
    assert len(unmoved) >= 8
    assert "differ by no more than chance" in unmoved[0].changes[0].reason


def choices_tried(*, step_is_worse_by: float, constants: int) -> list[FrozenTrial]:
    """Ten trials with each of two schedules and a few with the third, at random rates."""
    rng = np.random.default_rng(1)
    names = ["cosine"] * 10 + ["step"] * 10 + ["constant"] * constants
    penalty = {"cosine": 0.0, "step": step_is_worse_by, "constant": 0.5}
    return [
        made({SCHEDULER: name, LR: float(10 ** rng.uniform(-4, -3))}, 0.5 + penalty[name] + 0.05 * rng.normal())
        for name in names
    ]


def test_a_choice_that_is_worse_beyond_chance_is_dropped() -> None:
    narrowed = narrow(space(), choices_tried(step_is_worse_by=0.3, constants=2), Narrow(freeze=1))
    assert list(narrowed.space.parameters[SCHEDULER].named) == ["cosine", "constant"]  # type: ignore[union-attr]
    change = next(change for change in narrowed.changes if change.path == SCHEDULER)
    assert change.kind == "dropped"
    assert change.p_value is not None
    assert change.p_value < 0.05


def test_a_choice_that_may_be_as_good_or_was_hardly_tried_is_kept() -> None:
    narrowed = narrow(space(), choices_tried(step_is_worse_by=0.0, constants=2), Narrow(freeze=1))
    assert list(narrowed.space.parameters[SCHEDULER].named) == ["cosine", "step", "constant"]  # type: ignore[union-attr]


def test_the_last_choice_left_stays_a_parameter_so_that_trials_of_the_others_lie_outside() -> None:
    tried = choices_tried(step_is_worse_by=0.3, constants=8)
    narrowed = narrow(space(), tried, Narrow(freeze=1))
    assert list(narrowed.space.parameters[SCHEDULER].named) == ["cosine"]  # type: ignore[union-attr]
    assert narrowed.space.base.training.scheduler.name == "cosine"
    assert {trial.params[SCHEDULER] for trial in tried if fits(trial.params, narrowed.space)} == {"cosine"}
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-3.9, -3.2, 40)
    later = [made({SCHEDULER: "cosine", LR: float(rate)}, math.log(rate / 3e-4) ** 2) for rate in rates]
    again = narrow(narrowed.space, [one for one in later if fits(one.params, narrowed.space)])
    assert "frozen" in {change.kind for change in again.changes}
    assert SCHEDULER in again.space.parameters


def test_what_was_answered_from_the_record_is_no_evidence() -> None:
    trained = [made({GAPS: gaps}, 0.5, folds=[0.4, 0.6]) for gaps in ("floor", "mean")] * 3
    rng = np.random.default_rng(0)
    trained = [made(trial.params, 0.5 + 0.05 * rng.normal()) for trial in trained]
    answered = [made(trial.params, trial.value, same_as=place) for place, trial in enumerate(trained)] * 5
    moved = narrow(space(), [*trained, *answered])
    assert moved.space == space()
    assert moved.changes[0].reason.startswith("6 finished trials, at least 10 are needed")


@pytest.mark.parametrize("freeze", [0.2, 0.01])
def test_a_parameter_that_stands_out_is_never_frozen(freeze: float) -> None:
    only = space().model_copy(update={"parameters": {path: space().parameters[path] for path in (DROPOUT, GAPS)}})
    rng = np.random.default_rng(3)
    tried = [
        made({GAPS: gaps, DROPOUT: float(rng.uniform(0, 0.5))}, 0.5 + 0.3 * (gaps == "mean") + 0.02 * rng.normal())
        for gaps in ["floor", "mean"] * 10
    ]
    narrowed = narrow(only, tried, Narrow(freeze=freeze))
    assert list(narrowed.space.parameters[GAPS].named) == ["floor"]  # type: ignore[union-attr]
    assert SearchSpace.model_validate(narrowed.space.to_dict()) == narrowed.space


def test_a_bound_that_is_a_limit_of_the_field_is_not_passed() -> None:
    trials = [made({DROPOUT: 0.02 * number}, 0.5 + 0.1 * number) for number in range(25)]
    narrowed = narrow(space(), trials, Narrow(freeze=1))
    change = next(change for change in narrowed.changes if change.path == DROPOUT)
    assert narrowed.space.parameters[DROPOUT].low == 0  # type: ignore[union-attr]
    assert "which is a limit" in change.reason


@pytest.mark.parametrize(
    ("range_", "sign", "bounds"),
    [("low: 16, high: 128, step: 8", 1, (8, 48)), ("low: 16, high: 100, step: 32", -1, (48, 112))],
    ids=["a limit between two steps", "no step at the bound"],
)
def test_a_stepped_number_is_widened_whatever_lies_between_its_steps(
    range_: str, sign: int, bounds: tuple[int, int]
) -> None:
    path = "training.batch_size"
    document = parse_yaml(TEXT, source="small.yaml").with_setting(f"parameters={{{path}: {{type: int, {range_}}}}}")
    first = SearchSpace.from_document(document)
    narrowed = narrow(first, searched(first, lambda trial: sign * trial.params[path], seed=0), Narrow(freeze=1))
    (change,) = narrowed.changes
    assert (change.kind, "it is passed" in change.reason) == ("widened", True)
    low, high = bounds
    moved = narrowed.space.parameters[path]
    assert moved.low == low if sign > 0 else moved.high == high  # type: ignore[union-attr]


def test_a_whole_number_on_a_logarithmic_scale_stays_above_0() -> None:
    path = "augmentations.0.min_x_px"
    masked = parse_yaml(TEXT, source="small.yaml").with_setting("base.augmentations=[{name: xy_masking, min_x_px: 1}]")
    masked = masked.with_setting(f"parameters={{{path}: {{type: int, low: 1, high: 16, log: true}}}}")
    first = SearchSpace.from_document(masked)
    narrowed = narrow(first, searched(first, lambda trial: math.log(trial.params[path]), seed=0), Narrow(freeze=1))
    assert narrowed.space.parameters[path].distribution.low == 1  # type: ignore[union-attr]
    assert "lies on the low bound, which is a limit" in narrowed.changes[0].reason
    assert SearchSpace.from_document(parse_yaml(narrowed_text(narrowed, origin="a test"), source="narrowed.yaml"))


def test_bounds_that_a_number_cannot_have_do_not_pass_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "region_of", lambda *_, **__: Region(0.0, 1e-3))
    with pytest.raises(ValidationError, match="log: true needs low above 0"):
        narrow(space(), searched(space(), distance, seed=0), Narrow(freeze=1))


def test_a_best_value_beside_its_step_by_the_arithmetic_of_floats_keeps_nothing_from_moving() -> None:
    stepped = space(**{DROPOUT: "{type: float, low: 0.1, high: 0.5, step: 0.05}"})
    trials = [made({DROPOUT: 0.1 + steps * 0.05}, 0.5 + 0.1 * abs(steps - 4)) for steps in (1, 2, 3, 4) * 6]
    narrowed = narrow(stepped, trials, Narrow(freeze=1, margin=0, quantile=0.5))
    assert (narrowed.space.parameters[DROPOUT].high, narrowed.space.base.model.dropout) == (0.3, 0.1 + 4 * 0.05)  # type: ignore[union-attr]


def test_a_bound_is_passed_only_as_far_as_experiments_stay_valid() -> None:
    apart = "{type: float, low: -7, high: 2}"
    wide = space(**{"pipeline.clip_log.low": apart, CLIP: "{type: float, low: 2.5, high: 12}"})
    paths = wide.parameters
    trials = [
        create_trial(
            value=1.0 + 0.1 * number,
            params={**wide.baseline(), CLIP: 2.5 + 0.3 * number, "pipeline.clip_log.low": 1.9 - 0.2 * number},
            distributions={path: paths[path].distribution for path in paths},
        )
        for number in range(20)
    ]
    narrowed = narrow(wide, trials, Narrow(freeze=1)).space
    assert narrowed.parameters["pipeline.clip_log.low"].high < narrowed.parameters[CLIP].low  # type: ignore[union-attr]


def test_more_is_better_where_the_study_says_so() -> None:
    turned = searched(space(), lambda trial: -distance(trial), seed=0, direction="maximize")
    assert narrow(space(), turned, direction="maximize").space.parameters[LR].high > 1e-3  # type: ignore[union-attr]
    assert narrow(space(), turned).space.parameters[LR].high <= 1e-3  # type: ignore[union-attr]


def test_the_same_record_is_narrowed_in_the_same_way() -> None:
    trials = searched(space(), distance, seed=2)
    assert narrow(space(), trials, seed=4) == narrow(space(), list(reversed(trials)), seed=4)


def test_bounds_that_cannot_be_widened_together_leave_the_others_to_be_widened() -> None:
    low = "pipeline.clip_log.low"
    document = parse_yaml(TEXT, source="small.yaml").with_setting("base.pipeline.clip_log.high=6")
    document = document.with_setting(f"parameters.{low}={{type: float, low: -6, high: 3}}")
    close = SearchSpace.from_document(document.with_setting(f"parameters.{CLIP}={{type: float, low: 4, high: 8}}"))
    paths = close.parameters

    def trial(number: int) -> FrozenTrial:
        places = {LR: 1e-3 * 0.93**number, low: 3 - 0.25 * number, CLIP: 4 + 0.1 * number}
        distributions = {path: parameter.distribution for path, parameter in paths.items()}
        return create_trial(value=0.1 * number, params={**close.baseline(), **places}, distributions=distributions)

    narrowed = narrow(close, [trial(number) for number in range(30)], Narrow(freeze=1))
    assert kind(narrowed, LR) == "widened"
    assert not narrowed.space.faults(parse_yaml(narrowed.space.model_dump_json(), source="narrowed"))
    (change,) = [change for change in narrowed.changes if change.path == low]
    assert change.kind == "narrowed"
    assert "lies on the high bound, and a widened range would not fit: " in change.reason
    assert "low must be below high" in change.reason
