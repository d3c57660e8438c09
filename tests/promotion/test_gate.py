"""The gate opens for what is better beyond chance, and for nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
from members import member, noisy_members, samples_of

from hms_search.data.oof import OutOfFold, out_of_fold
from hms_search.promotion.gate import judge


def pair(seed: int, *, candidate_noise: float = 1.0) -> tuple[OutOfFold, OutOfFold]:
    """A candidate and a reference that see the same truth through noise; of equal worth unless the noises differ."""
    candidate, reference = noisy_members((candidate_noise, 1.0), n_patients=40, seed=seed)
    return candidate, reference


def test_models_of_equal_worth_are_called_not_distinguishable_in_at_least_nine_of_ten_repeats() -> None:
    gates = [judge(*_with_role(pair(seed)), objective="all") for seed in range(100)]
    verdicts = [gate.verdict(gate.comparisons[0]) for gate in gates]
    assert verdicts.count("not distinguishable") >= 90
    assert sum(gate.passed for gate in gates) <= 5


def test_a_better_model_is_found_and_a_worse_one_never_passes() -> None:
    better = [judge(*_with_role(pair(seed, candidate_noise=0.6)), objective="all") for seed in range(20)]
    worse = [judge(*_with_role(pair(seed, candidate_noise=1.6)), objective="all") for seed in range(20)]
    assert all(gate.passed and gate.opens for gate in better)
    assert not any(gate.passed or gate.opens for gate in worse)


def test_every_reference_must_be_beaten() -> None:
    best, middle, worst = noisy_members((0.5, 0.9, 2.0), n_patients=60, seed=1)
    assert judge(middle, {"baseline": worst}, objective="all").passed
    assert not judge(middle, {"baseline": worst, "champion": best}, objective="all").passed
    assert not judge(middle, {}, objective="all").passed


def test_force_opens_the_gate_and_is_recorded_only_where_it_was_needed() -> None:
    better, worse = noisy_members((0.5, 1.5), n_patients=60, seed=2)
    forced = judge(worse, {"champion": better}, objective="all", force=True)
    assert forced.opens
    assert not forced.passed
    assert json.loads(json.dumps(forced.to_dict()))["forced"] is True
    assert judge(better, {"champion": worse}, objective="all", force=True).forced is False


def test_a_doubt_shuts_the_gate_however_good_the_scores_are_and_force_opens_it() -> None:
    better, worse = noisy_members((0.5, 1.5), n_patients=60, seed=2)
    gate = judge(better, {"champion": worse}, objective="all", doubt="its targets leak")
    assert not gate.opens
    assert gate.verdict(gate.comparisons[0]) == "cannot be compared: its targets leak"
    assert judge(better, {"champion": worse}, objective="all", doubt="its targets leak", force=True).forced


def test_the_objective_decides_and_every_stratum_is_told() -> None:
    candidate, reference = noisy_members((1.0, 1.0), n_patients=80, seed=3)
    probabilities = np.where(candidate.high[:, None], candidate.targets * 0.9 + 0.1 / 6, reference.probabilities)
    better_on_high = replace(candidate, probabilities=probabilities)
    gate = judge(better_on_high, {"baseline": reference}, objective="high")
    assert gate.passed
    assert set(gate.comparisons[0].differences) == {"all", "high", "low"}
    assert not judge(better_on_high, {"baseline": reference}, objective="low").passed
    assert {"gate/baseline/high/mean", "gate/baseline/low/probability_better"} <= gate.metrics().keys()


def test_a_single_patient_bounds_nothing_and_its_gate_is_still_plain_json() -> None:
    candidate, reference = noisy_members((0.5, 1.5), n_patients=1, rows_each=6)
    gate = judge(candidate, {"baseline": reference}, objective="all")
    assert not gate.passed
    found = json.loads(json.dumps(gate.to_dict(), allow_nan=False))["comparisons"][0]["differences"]["all"]
    assert (found["low"], found["high"], found["verdict"]) == (None, None, "not distinguishable")


@pytest.mark.parametrize("fault", ["other recordings", "other folds", "leaking folds"])
def test_what_was_not_scored_on_the_same_recordings_and_folds_cannot_be_compared(fault: str) -> None:
    candidate, reference = noisy_members((0.5, 1.5), n_patients=30, seed=4)
    if fault == "other recordings":
        reference = member("b", reference.probabilities[:-3], reference.targets[:-3], reference.patients[:-3])
    elif fault == "other folds":
        reference = member("b", reference.probabilities, reference.targets, reference.patients, n_folds=2)
    else:
        folds = np.arange(len(reference)) % 3
        samples = samples_of(reference.patients)
        candidate, reference = (
            out_of_fold(one.name, samples, folds, one.targets, one.probabilities) for one in (candidate, reference)
        )
    gate = judge(candidate, {"champion": reference}, objective="all")
    assert not gate.passed
    assert gate.verdict(gate.comparisons[0]).startswith("cannot be compared: ")


def _with_role(two: tuple[OutOfFold, OutOfFold]) -> tuple[OutOfFold, dict[str, OutOfFold]]:
    return two[0], {"baseline": two[1]}
