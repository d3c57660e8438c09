"""The doctor of studies: each thing it looks for, in a study that has it and in one that does not."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hms_search.data.findings import SEVERITIES
from hms_search.search.contract import contract_of, open_study
from hms_search.search.doctor import DEEP, LIVE, findings, live_findings
from hms_search.search.findings import Finding
from hms_search.search.history import StudyHistory, study_history
from hms_search.search.policy import policy_of
from hms_search.search.racing import Ground, Race
from hms_search.search.rank_agreement import agreement, mean_agreement
from hms_search.search.repeated import Again, Gain, Repeated
from hms_search.search.schedules import Adaptive
from hms_search.search.space import Categorical
from hms_search.search.study import StudyConfig, read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
LR, DROPOUT, CLIP = "training.optimiser.lr", "model.dropout", "pipeline.clip_log.high"
PRUNED_ALL = "every trial is pruned"
REPORT = ("name=report", "trials=40", "pruner={name: threshold, upper: 0.57}")
REPORT_FIRST_EPOCHS = (0.72, 0.64, 1.13, 0.88, 0.97)
"""From the saved output of the report's last round: first-epoch losses of .64 to 1.13 against a threshold of 0.57."""


@cache
def config(*settings: str) -> StudyConfig:
    return read_study(QUICKSTART, settings)


def trial(
    study: StudyConfig,
    value: float | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    curve: Sequence[float] = (),
    failed: str = "",
    **attributes: Any,
) -> FrozenTrial:
    """A trial: completed where it has a value, failed where it has a reason, else pruned."""
    state = TrialState.COMPLETE if value is not None else TrialState.FAIL if failed else TrialState.PRUNED
    everything = {**study.space.baseline(), **(params or {})}
    outcome = {TrialState.COMPLETE: "complete", TrialState.FAIL: "failed", TrialState.PRUNED: "pruned"}[state]
    return create_trial(
        state=state,
        value=value,
        params=everything,
        distributions={path: study.space.parameters[path].distribution for path in everything},
        intermediate_values=dict(enumerate(curve)),
        user_attrs={"outcome": outcome, **({"reason": failed} if failed else {}), **attributes},
    )


def history(study: StudyConfig, trials: Sequence[FrozenTrial], shared_patients: int | None = 0) -> StudyHistory:
    """The trials as a storage gives them back."""
    storage = optuna.storages.InMemoryStorage()
    open_study(study, contract_of(study, data="d" * 12, folds="f" * 12), storage).add_trials(trials)
    return StudyHistory(study, study_history(storage, study.name).trials, shared_patients)


def found(record: StudyHistory) -> dict[str, Finding]:
    return {finding.what: finding for finding in live_findings(record)}


def spread(seed: int = 0, n: int = 30) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values of trials, far apart."""
    return np.random.default_rng(seed).uniform(0.5, 1.5, n)


def applied(finding: Finding, *settings: str) -> StudyConfig:
    """The study with the first line that a finding gives put in; raises ConfigError where it is refused."""
    line = re.match(r"([\w.]+): (\{.*?\}|\[.*?\]|[^\s,]+)", finding.change)
    assert line is not None
    where = "space." if line[1].startswith("parameters.") else ""
    return read_study(QUICKSTART, (*settings, f"{where}{line[1]}={line[2]}"))


def test_the_reports_failure_is_found_by_the_fifth_trial() -> None:
    study = config(*REPORT)
    trials = [
        trial(study, 0.71, curve=REPORT_FIRST_EPOCHS[:1], baseline=True),
        *(trial(study, curve=[value]) for value in REPORT_FIRST_EPOCHS[1:]),
    ]
    finding = found(history(study, trials))[PRUNED_ALL]
    assert finding.severity == "error"
    assert finding.evidence.endswith("at 0.64 to 1.13, outside upper 0.57")
    assert applied(finding, *REPORT).pruner.name == "median"
    assert PRUNED_ALL not in found(history(study, trials[:4]))


def test_the_reports_failure_is_found_though_the_floor_lets_some_trials_through() -> None:
    study = config(*REPORT)
    spared = [trial(study, value - 0.05, curve=[value], spared_at=1) for value in REPORT_FIRST_EPOCHS]
    assert PRUNED_ALL in found(history(study, spared))


def judged(study: StudyConfig, curves: Sequence[Sequence[float]], keep: float | None = None) -> list[FrozenTrial]:
    """Trials as a study's own pruner, or its schedule, ends them, the baseline first, which is spared."""
    race = Race(study.steps, Ground((), ()), Path("nowhere"))
    policy = policy_of(
        study.pruner, steps=study.steps, study_name="s", direction="minimize", seed=study.seed, race=race, keep=keep
    )
    trials = []
    for number, curve in enumerate(curves):
        policy.begin(number, len(study.steps), exempt=number == 0)
        words = (policy.epoch_ended(number, step, value) for step, value in enumerate(curve))
        stop = next((step + 1 for step, word in enumerate(words) if word == "prune"), None)
        spared = {} if stop or (at := policy.spared_at(number)) is None else {"spared_at": at}
        policy.trial_ended(number, "pruned" if stop else "complete")
        end = None if stop else float(curve[-1])
        trials.append(trial(study, end, curve=curve[:stop], baseline=number == 0, **spared))
    return trials


@pytest.mark.parametrize("hard", [0, 1], ids=["in the first fold", "in the second fold"])
def test_a_threshold_that_nobody_meets_is_found_by_the_fifth_trial_and_to_the_end_whoever_is_spared(hard: int) -> None:
    n_spared = 0
    for seed in range(20):
        study, rng = config(*REPORT, f"seed={seed}"), np.random.default_rng(seed)
        easy = np.full((40, study.steps.epochs), 0.5)
        falling = rng.uniform(0.64, 1.13, (40, 1)) - 0.01 * np.arange(study.steps.epochs)
        trials = judged(study, np.hstack([falling, falling] if hard == 0 else [easy, falling]).tolist())
        assert all(PRUNED_ALL in found(history(study, trials[:end])) for end in range(5, 41))
        assert min(one.value for one in trials if one.value is not None) < 1.13
        n_spared += sum("spared_at" in one.user_attrs for one in trials)
    assert n_spared > 20


def test_pruned_trials_are_told_as_they_were_then_with_bounds_that_would_let_them_through() -> None:
    study = config(*REPORT)
    trials = [
        trial(study, 0.91, curve=[0.5] * 4 + [0.95] * 4, baseline=True),
        *(trial(study, curve=[0.45, 0.5, 0.5, 0.5, value]) for value in (0.7, 0.75, 0.8)),
        trial(study, 0.6, curve=[0.5] * 4 + [0.9, 0.6, 0.6, 0.6], spared_at=5),
    ]
    finding = found(history(study, trials))[PRUNED_ALL]
    assert "4 of 4 trials besides the baseline were to be pruned, at 0.7 to 0.9, outside" in finding.evidence
    assert finding.change.endswith("bounds that hold 0.45 to 0.95")


def test_what_a_pruner_does_not_look_at_is_not_told() -> None:
    study = config("name=report", "pruner={name: threshold, upper: 0.57, n_warmup_epochs: 1}")
    trials = [trial(study, curve=[3.0, value]) for value in REPORT_FIRST_EPOCHS]
    finding = found(history(study, trials))[PRUNED_ALL]
    assert "at 0.64 to 1.13" in finding.evidence
    assert finding.change.endswith("bounds that hold 0.64 to 1.13")


def test_trials_that_wait_when_the_study_is_over_are_not_told_as_pruned() -> None:
    study = config("pruner={name: pausing_halving}", "sampler={name: curve_gp}")
    waiting = [trial(study, curve=[0.9, 0.8]) for _ in range(6)]
    straight = trial(study, 0.7, curve=[0.9] * 8, spared_at=2)
    assert PRUNED_ALL not in found(history(study, [*waiting, straight]))


def test_a_threshold_that_some_trials_meet_is_no_finding() -> None:
    study = config(*REPORT)
    trials = [trial(study, curve=[value]) for value in REPORT_FIRST_EPOCHS] + [trial(study, 0.5, curve=[0.55])]
    assert PRUNED_ALL not in found(history(study, trials))


def test_a_pruner_that_lets_nothing_through_is_found_whichever_it_is() -> None:
    study = config()
    baseline = trial(study, 0.7, curve=[0.8] * 8, baseline=True)
    pruned = [trial(study, curve=[0.9 + 0.01 * number]) for number in range(4)]
    finding = found(history(study, [baseline, *pruned]))[PRUNED_ALL]
    assert "at 0.9 to 0.93" in finding.evidence
    assert applied(finding).pruner.name == "none"
    assert PRUNED_ALL not in found(history(study, [baseline, *pruned, trial(study, 0.6)]))


def test_trials_that_a_schedule_stops_are_not_laid_to_the_pruner() -> None:
    settings = ("schedule={name: adaptive, keep: 0.2}", "pruner={name: none, audit: 0.0, floor: 0.0}")
    study, rng = config(*settings), np.random.default_rng(0)
    ends = [1.0, *rng.uniform(1.02, 1.12, 7).tolist()]
    curves = [[end + 0.1 * (3 - step % 4) for step in range(len(study.steps))] for end in ends]
    finding = found(history(study, judged(study, curves, keep=0.2)))[PRUNED_ALL]
    assert "by schedule adaptive, keep 0.2" in finding.evidence
    assert "pruner" not in finding.change
    changed = applied(finding, *settings).schedule
    assert isinstance(changed, Adaptive)
    assert changed.keep > 0.2


def test_failures_are_found_with_the_bound_that_they_lie_behind() -> None:
    study = config()
    rates = np.geomspace(1e-4, 1e-2, 15)
    trials = [
        trial(study, 0.6, params={LR: rate}) if rate < 2e-3 else trial(study, params={LR: rate}, failed="loss is nan")
        for rate in rates.tolist()
    ]
    finding = found(history(study, trials))["many trials fail"]
    assert "loss is nan" in finding.evidence
    assert finding.change.startswith(f"parameters.{LR}.high: 0.00")
    assert applied(finding).space.parameters[LR].high < 3e-3  # type: ignore[union-attr]
    assert "many trials fail" not in found(history(study, trials[:10]))


def test_a_bound_that_would_leave_the_base_outside_is_not_advised() -> None:
    study = config()
    trials = [trial(study, 0.6, params={LR: rate}) for rate in np.geomspace(1e-4, 4e-4, 10).tolist()]
    trials += [trial(study, params={LR: rate}, failed="nan") for rate in np.geomspace(5e-4, 1e-2, 8).tolist()]
    assert study.space.base_value(LR) > 5e-4
    assert found(history(study, trials))["many trials fail"].change.startswith("look at trial 17")


def test_trials_that_wait_are_none_that_failed() -> None:
    study, what = config(), "many trials fail"
    failed = [trial(study, failed="loss is nan") for _ in range(2)]
    waiting = [create_trial(state=TrialState.RUNNING, user_attrs={"paused_seconds": 3.0}) for _ in range(9)]
    assert "2 of 10 trials (20%)" in found(history(study, [*failed, *waiting[:8]]))[what].evidence
    assert what not in found(history(study, [*failed, *waiting]))


def rates_that_fall_towards(best: float) -> list[FrozenTrial]:
    study = config()
    rng = np.random.default_rng(3)
    return [
        trial(study, abs(math.log(rate / best)), params={LR: rate})
        for rate in [*(10 ** rng.uniform(-4, -2, 30)).tolist(), 9.9e-3, 3e-3]
    ]


def test_a_best_trial_on_a_bound_is_found_with_the_bound_to_write() -> None:
    finding = found(history(config(), rates_that_fall_towards(2e-2)))[f"the best trial lies on a bound of {LR}"]
    assert finding.change.startswith(f"parameters.{LR}.high: 0.1")
    assert applied(finding).space.parameters[LR].high == 0.1  # type: ignore[union-attr]
    assert not [what for what in found(history(config(), rates_that_fall_towards(3e-3))) if LR in what]


@pytest.mark.parametrize(("least", "told"), [(8, "5.75,"), (5, "")], ids=["less than usual", "not at all"])
def test_a_bound_is_passed_only_as_far_as_the_study_may_go(least: float, told: str) -> None:
    low = "pipeline.clip_log.low"
    settings = (
        f"space.parameters.{low}={{type: float, low: -10, high: 4}}",
        f"space.parameters.{CLIP}={{type: float, low: {least}, high: 12}}",
    )
    study, rng = config(*settings), np.random.default_rng(0)
    lows = [*rng.uniform(-10, 4, 20).tolist(), 3.9]
    record = history(study, [trial(study, 2 - 0.05 * value, params={low: value, CLIP: 11.0}) for value in lows])
    finding = found(record).get(f"the best trial lies on a bound of {low}")
    assert (finding is not None) == bool(told)
    if finding is not None:
        assert finding.change.startswith(f"parameters.{low}.high: {told}")
        assert applied(finding, *settings).space.parameters[low].high == 5.75  # type: ignore[union-attr]


def test_a_best_trial_on_a_bound_towards_which_others_get_worse_is_no_finding() -> None:
    study = config()
    worsening = [trial(study, 0.5 + 50 * rate, params={LR: rate}) for rate in np.geomspace(1e-4, 9e-3, 25).tolist()]
    lucky = [trial(study, 0.40 + 0.01 * number, params={LR: 9.9e-3}) for number in range(5)]
    assert not [what for what in found(history(study, [*worsening, *lucky])) if LR in what]


@pytest.mark.parametrize(
    ("range_", "sign", "change"),
    [("low: 16, high: 128, step: 8", 1, "low: 8,"), ("low: 16, high: 100, step: 32", -1, "high: 112,")],
    ids=["a limit between two steps", "no step at the bound"],
)
def test_a_best_trial_on_the_bound_of_a_stepped_number_is_found(range_: str, sign: int, change: str) -> None:
    path = "training.batch_size"
    study = config(f"space.parameters.{path}={{type: int, {range_}}}")
    sizes = study.space.parameters[path].distribution
    assert isinstance(sizes, optuna.distributions.IntDistribution)
    steps = range(sizes.low, sizes.high + 1, sizes.step)
    trials = [trial(study, 1 + sign * size / 100 + 0.001 * n, params={path: size}) for n in range(5) for size in steps]
    finding = found(history(study, trials))[f"the best trial lies on a bound of {path}"]
    assert finding.change.startswith(f"parameters.{path}.{change}")


def test_a_bound_that_is_a_limit_of_the_field_is_no_finding() -> None:
    study = config()
    trials = [trial(study, 0.5 + value, params={DROPOUT: value}) for value in np.linspace(0, 0.5, 20).tolist()]
    assert not [what for what in found(history(study, trials)) if DROPOUT in what]


def test_a_search_that_stands_still_is_found() -> None:
    study = config()

    def falling() -> list[FrozenTrial]:
        return [trial(study, 1.0 - 0.02 * number) for number in range(12)]

    def still() -> list[FrozenTrial]:
        return [trial(study, 0.9 + 0.001 * number) for number in range(22)]

    what = "the search no longer improves"
    assert "the last 20 trials gained 0" in found(history(study, [*falling(), *still()]))[what].evidence
    assert what not in found(history(study, [*still(), *falling()]))
    assert what not in found(history(study, falling()))


def folds_of(study: StudyConfig, seeds: tuple[int, int]) -> list[FrozenTrial]:
    """Trials whose folds are drawn from two seeds: the same seed makes folds that agree."""
    values = np.stack([spread(seed) for seed in seeds], axis=1)
    return [trial(study, float(row.mean()), folds=row.tolist()) for row in values]


def test_folds_that_rank_the_trials_differently_are_found_with_their_correlation() -> None:
    what = "the folds rank the trials differently"
    assert "rank correlation" in found(history(config(), folds_of(config(), (0, 1))))[what].evidence
    assert what not in found(history(config(), folds_of(config(), (0, 0))))
    assert what not in found(history(config(), folds_of(config(), (0, 1))[:8]))


@pytest.mark.parametrize("folds", ["n_folds: 2", "n_folds: 2, use: [0, 1]", "n_folds: 5, use: [0, 1]"])
def test_what_is_advised_where_folds_disagree_trains_more_of_them(folds: str) -> None:
    setting = f"folds={{name: grouped, {folds}}}"
    finding = found(history(config(setting), folds_of(config(setting), (0, 1))))[
        "the folds rank the trials differently"
    ]
    also = ("folds.use=null",) if "with folds.use: null" in finding.change else ()
    assert applied(finding, setting, *also).steps.n_folds > 2


def test_five_folds_that_agree_in_the_mean_are_no_finding_though_each_pair_may_not() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 1)) * 0.63 + rng.normal(size=(20, 5)) * 0.78
    five = config("folds={name: grouped, n_folds: 5}")
    trials = [trial(five, float(row.mean()), folds=row.tolist()) for row in values]
    pairs = [agreement(values[:, i], values[:, j]) for i in range(5) for j in range(i)]
    assert sum(pair.low for pair in pairs if pair is not None) < 0
    assert "the folds rank the trials differently" not in found(history(five, trials))
    mean = mean_agreement(values)
    assert mean is not None
    assert 0 < mean.low < mean.correlation < mean.high < 1


def test_strata_that_rank_the_trials_differently_are_found() -> None:
    def votes(high: int, low: int, objective: str = "all") -> StudyHistory:
        study, pairs = config(f"objective={objective}"), zip(spread(high).tolist(), spread(low).tolist(), strict=True)
        return history(study, [trial(study, 0.5 * (h + lo), kl_high=h, kl_low=lo) for h, lo in pairs])

    what = "HIGH and LOW votes rank the trials differently"
    assert applied(found(votes(0, 1))[what]).objective == "high"
    assert what not in found(votes(0, 1, "high"))
    assert what not in found(votes(0, 0))


def effects(*, clip_matters: bool) -> StudyHistory:
    study, rng = config(), np.random.default_rng(0)
    trials = []
    for _ in range(40):
        rate, clip, dropout = float(10 ** rng.uniform(-4, -2)), float(rng.uniform(6, 12)), float(rng.uniform(0, 0.5))
        loss = math.log10(rate / 1e-3) ** 2 + (0.3 * (clip - 9) ** 2 if clip_matters else 0)
        trials.append(trial(study, loss + 0.001 * rng.normal(), params={LR: rate, CLIP: clip, DROPOUT: dropout}))
    return history(study, trials)


def test_parameters_without_effect_are_found() -> None:
    def named(record: StudyHistory) -> str:
        told = [finding.evidence for finding in findings(record) if finding.what == "parameters without effect"]
        return " ".join(told)

    idle = named(effects(clip_matters=False))
    assert DROPOUT in idle
    assert LR not in idle
    assert CLIP not in named(effects(clip_matters=True))


@pytest.mark.parametrize(
    ("settings", "shared", "severity"),
    [
        ((), 0, ""),
        ((), None, ""),
        (("folds={name: random, n_folds: 2}",), 17, "error"),
        (("folds={name: random, n_folds: 2}",), None, "error"),
        (("folds={name: random, n_folds: 2}",), 0, ""),
    ],
)
def test_patients_on_both_sides_of_a_fold_are_found(
    settings: tuple[str, ...], shared: int | None, severity: str
) -> None:
    leaks = found(history(config(*settings), [], shared)).get("patients are on both sides of a fold")
    assert (leaks.severity if leaks else "") == severity
    assert leaks is None or shared is None or "17 patients" in leaks.evidence


def test_a_budget_too_small_for_the_parameters_is_found() -> None:
    what = "too few trials for the parameters"
    assert "trials: 12 or more" in found(history(config("trials=9"), []))[what].change
    assert what not in found(history(config("trials=12"), []))


def test_a_search_that_never_leaves_chance_is_found() -> None:
    what = "every trial is drawn at random"
    assert what in found(history(config("trials=12", "sampler={name: tpe, n_startup_trials: 12}"), []))
    assert what not in found(history(config("trials=13", "sampler={name: tpe, n_startup_trials: 12}"), []))


@pytest.mark.parametrize(
    ("sampler", "trials", "change"),
    [
        ("curve_gp", 5, "sampler.n_startup_trials: 2, or more trials"),
        ("curve_gp", 2, "more trials"),
        ("tpe", 4, "sampler.n_startup_trials: 1, or more trials"),
        ("tpe", 1, "more trials"),
    ],
)
def test_what_is_advised_to_draw_fewer_at_random_is_allowed_and_helps(sampler: str, trials: int, change: str) -> None:
    study = config(f"trials={trials}", f"sampler={{name: {sampler}, n_startup_trials: 5}}")
    finding = found(history(study, []))["every trial is drawn at random"]
    assert finding.change == change


def test_a_sampler_that_learns_nothing_of_trials_that_pause_is_found() -> None:
    what = "the sampler learns nothing of trials that pause"
    assert what in found(history(config("sampler={name: tpe}", "pruner={name: pausing_halving}"), []))
    assert what not in found(history(config("sampler={name: curve_gp}", "pruner={name: pausing_halving}"), []))
    assert what not in found(history(config("sampler={name: tpe}"), []))


def test_a_sampler_is_advised_only_where_the_study_may_have_it() -> None:
    settings = ("sampler={name: tpe}", "pruner={name: pausing_halving}")
    what, turns = "the sampler learns nothing of trials that pause", (*settings, "schedule={name: interleaved}")
    assert "curve_gp" in found(history(config(*settings), []))[what].change
    finding = found(history(config(*turns), []))[what]
    assert finding.change == "pruner: {name: median}"
    assert applied(finding, *turns).pruner.name == "median"


def repeated(gain: float) -> StudyHistory:
    """A baseline and a best, each of three seeds that differ by some hundredths."""
    study = config()
    runs = [(DROPOUT, 0.0, 0.80), (DROPOUT, 0.3, 0.80 - gain)]
    trials = [
        trial(study, value + change, params={path: setting}, baseline=setting == 0 and change == 0)
        for path, setting, value in runs
        for change in (0.0, 0.02, -0.02)
    ]
    return history(study, trials)


def test_a_gain_no_larger_than_the_seeds_noise_is_found() -> None:
    what = "the gain is within the noise of the seed"
    assert "2 configurations repeated" in found(repeated(0.01))[what].evidence
    assert what not in found(repeated(0.2))
    tenths = config(f"space.parameters.{DROPOUT}={{type: float, low: 0.0, high: 0.4, step: 0.1}}")
    beside = [
        trial(tenths, 0.80, params={DROPOUT: 0.0}, baseline=True),
        *(trial(tenths, value, params={DROPOUT: dropout}) for value, dropout in ((0.79, 0.3), (0.85, 0.1 + 2 * 0.1))),
    ]
    assert "1 configurations repeated" in found(history(tenths, beside))[what].evidence
    without = history(config(), [trial(config(), 0.8, baseline=True), trial(config(), 0.79, params={DROPOUT: 0.2})])
    assert what not in found(without)


def of_two_folds(gain: float, n: int = 12) -> list[FrozenTrial]:
    """A baseline and others as good as it, whose folds differ by chance; the last is better by a gain."""
    study, noise = config(), np.random.default_rng(0).normal(0, 0.03, n).tolist()
    ends = [0.8] * (n - 1) + [0.8 - gain]
    return [
        trial(study, end, params={DROPOUT: 0.01 * place}, folds=[end - off, end + off], baseline=place == 0)
        for place, (end, off) in enumerate(zip(ends, noise, strict=True))
    ]


def test_a_gain_within_the_noise_of_the_folds_is_found_where_no_seed_was_tried_again() -> None:
    study, what = config(), "the gain is within the noise of the folds"
    little = history(study, of_two_folds(0.01))
    assert "the best of 12 trials is 0.01 better" in found(little)[what].evidence
    assert f"it takes {little.evidence.told_apart:.2g} to tell" in found(little)[what].evidence
    assert what not in found(history(study, of_two_folds(0.2)))
    assert what not in found(history(study, of_two_folds(0.01, n=11)))
    again = trial(study, 0.81, folds=[0.80, 0.82])
    assert what not in found(history(study, [*of_two_folds(0.01), again]))
    assert what not in found(replace(little, noise=Again((1, 2), False, Repeated(0, "b", 0.8, (0.8, 0.8)), ())))
    aims = config("aims=[{metric: kl}, {metric: parameters}]", "pruner={name: none}", "sampler={name: tpe}")
    assert what not in found(replace(little, config=aims))


def healthy() -> StudyHistory:
    """A search that goes well: folds and strata agree, the best lies inside, the last trials still gain."""
    study, rng = config(), np.random.default_rng(5)
    trials = []
    for number in range(24):
        rate = float(1e-3 * 10 ** rng.uniform(-0.9, 0.9))
        loss = 0.6 + 0.3 * math.log10(rate / 1.2e-3) ** 2 - 0.01 * number
        trials.append(
            trial(
                study,
                loss,
                params={LR: rate, DROPOUT: float(rng.uniform(0.1, 0.4)), CLIP: float(rng.uniform(7, 11))},
                curve=[loss + 0.2] * 8,
                folds=[loss - 0.05 + 0.002 * rng.normal(), loss + 0.05 + 0.002 * rng.normal()],
                kl_high=loss - 0.1,
                kl_low=loss + 0.1,
                baseline=number == 0,
            )
        )
    return history(study, trials)


def test_a_healthy_study_has_no_findings() -> None:
    assert live_findings(healthy()) == ()


@pytest.mark.parametrize("check", [*LIVE, *DEEP], ids=lambda check: check.__name__)
def test_every_check_passes_over_a_study_that_has_hardly_begun(check: Callable[[StudyHistory], Any]) -> None:
    study = config()
    for trials in ([], [trial(study, 0.7, baseline=True)], [trial(study, failed="out of memory")], [trial(study)] * 3):
        assert list(check(history(study, trials))) == []


def test_the_worst_comes_first_and_every_finding_says_what_to_change() -> None:
    study = config(*REPORT, "trials=9", "folds={name: random, n_folds: 2}")
    told = live_findings(history(study, [trial(study, curve=[value]) for value in REPORT_FIRST_EPOCHS], 3))
    assert [SEVERITIES.index(finding.severity) for finding in told] == [0, 0, 1]
    assert all(finding.what and finding.evidence and finding.change for finding in told)


def test_trials_that_a_dead_session_left_running_are_found_unless_they_wait() -> None:
    study = config()
    left, waiting = (
        create_trial(state=TrialState.RUNNING, value=None, user_attrs=attributes)
        for attributes in ({}, {"paused_seconds": 3.0})
    )
    record = history(study, [trial(study, 0.8, baseline=True), left, waiting])
    said = "trials were left running by a session that died"
    assert said not in found(record)
    finding = found(replace(record, abandoned=True))[said]
    assert "trial 1 of 3" in finding.evidence
    assert said not in found(replace(history(study, [waiting]), abandoned=True))


def test_a_gain_that_does_not_survive_other_seeds_is_found_from_what_was_run_again() -> None:
    study = config()
    baseline, best = Repeated(0, "b", 0.80, (0.80, 0.82)), Repeated(1, "t", 0.75, (0.79, 0.80))
    record = history(study, [trial(study, 0.8, baseline=True), trial(study, 0.75, params={LR: 2e-3})])
    for low, is_found in ((-0.01, True), (0.005, False)):
        again = Again((1, 2), False, baseline, (replace(best, gain=Gain(0.05, 0.015, low, 0.04, "seeds")),))
        said = found(replace(record, noise=again))
        assert ("the gain is within the noise of the seed" in said) == is_found
    evidence = found(
        replace(record, noise=replace(again, trials=(replace(best, gain=Gain(0.05, 0.01, -1.0, 1.0, "seeds")),)))
    )
    assert (
        "under 2 other seeds 0.01 [-1, 1] over seeds" in evidence["the gain is within the noise of the seed"].evidence
    )


def test_of_many_numbers_one_that_differs_by_chance_is_not_blamed_for_failures() -> None:
    study, blamed = config(), 0
    numbers = {path: one for path, one in study.space.parameters.items() if not isinstance(one, Categorical)}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = [{path: float(rng.uniform(one.low, one.high)) for path, one in numbers.items()} for _ in range(16)]
        failed = [trial(study, failed="no memory", params=params) for params in drawn[:6]]
        others = [trial(study, 1.0, params=params) for params in drawn[6:]]
        blamed += "parameters." in found(history(study, [*failed, *others]))["many trials fail"].change
    assert blamed <= 6


def test_a_baseline_that_was_interrupted_first_is_still_the_baseline() -> None:
    study = config()
    gone = trial(study, failed="killed", baseline=True)
    gone.user_attrs["outcome"] = "interrupted"
    again = trial(study, 1.0, baseline=True)
    others = [trial(study, 1.0 + 0.1 * place, params={DROPOUT: 0.3}) for place in range(-1, 2)]
    what = "the gain is within the noise of the seed"
    assert what in found(history(study, [again, *others]))
    assert what in found(history(study, [gone, again, *others]))
