from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from hms_search.data.folds import FoldPlan, GroupedFolds, Order, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import LabelSampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.document import parse_yaml
from hms_search.eeg.histogram import clipped_moments
from hms_search.errors import ConfigError, DataError, TrialStopped
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.training.metrics import kl, scores
from hms_search.training.results import Epoch

DOCUMENT = """
pipeline: {source: spectrogram, gap_fill: floor, clip_log: {low: -6, high: 10}, normalise: {name: instance},
           resize: [512, 512], antialias: true}
model: {name: timm, backbone: efficientnet_b1, weights: none, dropout: 0.0, drop_path: 0.0}
training: {epochs: 2, batch_size: 16, optimiser: {name: adamw, lr: 1.0e-3, betas: [0.5, 0.999], weight_decay: 0.01},
           scheduler: {name: cosine}, gradient_clip: null, amp: auto, channels_last: auto, select: last}
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_synthetic(folder / "data", n_patients=12, seed=0, workers=1)
    prepare(folder / "data", folder / "store", workers=1)
    return folder / "store"


@pytest.fixture(scope="module")
def store(prepared: Path) -> Store:
    return Store.open(prepared, SpectrogramSampling())


@pytest.fixture(scope="module")
def plan(store: Store) -> FoldPlan:
    return plan_folds(GroupedFolds(n_folds=2), store)


class AFewRows:
    """One fold of twelve rows."""

    use = (0,)
    order: Order = "sequential"
    fingerprint = "a few rows"

    def split(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(8) + fold, np.arange(8, 12) + fold


def small(**changes: dict[str, object]) -> ExperimentConfig:
    parts: dict[str, dict[str, object]] = {
        "pipeline": {"source": "spectrogram", "resize": [32, 32], "normalise": {"name": "datawide"}},
        "model": {"name": "timm", "backbone": "resnet10t", "dropout": 0.1},
        "training": {"epochs": 2, "batch_size": 8},
    }
    return ExperimentConfig.model_validate({name: {**part, **changes.get(name, {})} for name, part in parts.items()})


def test_the_baselines_document_says_what_the_defaults_are() -> None:
    config = ExperimentConfig.from_document(parse_yaml(DOCUMENT, source="baseline"))
    assert config == ExperimentConfig.model_validate({"model": {"name": "timm", "backbone": "efficientnet_b1"}})


def test_faults_of_a_document_are_named_with_their_path() -> None:
    wrong = DOCUMENT.replace("low: -6", "low: 60").replace("efficientnet_b1", "efficentnet_b1").replace("lr:", "rl:")
    with pytest.raises(ConfigError) as error:
        ExperimentConfig.from_document(parse_yaml(wrong, source="space.yaml"))
    for part in ("space.yaml:2: pipeline.clip_log.low", "did you mean efficientnet_b1", "training.optimiser.rl"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("efficientnet_b1", "densenet121", r"space\.yaml:4: model: densenet121 has no drop_path: write drop_path: 0"),
        ("512]", "512], any: 1", r"space\.yaml:3: pipeline\.any: unknown key"),  # what a model looks at is not known
        (
            "epochs: 2,",
            "epochs: 2, lr_groups: [{prefix: stem., factor: 2}],",
            r"space\.yaml:1: training\.lr_groups\.0: no parameter's name begins with 'stem\.', .* begin with conv_s",
        ),
    ],
)
def test_what_the_network_lacks_is_a_fault_of_the_document(old: str, new: str, fault: str) -> None:
    wrong = DOCUMENT.replace("drop_path: 0.0", "drop_path: 0.1").replace(old, new)
    with pytest.raises(ConfigError, match=f"^{fault}[^\n]*$"):
        ExperimentConfig.from_document(parse_yaml(wrong, source="space.yaml"))


def test_a_model_must_be_chosen() -> None:
    with pytest.raises(ValidationError, match="model"):
        ExperimentConfig.model_validate({})


def test_the_value_is_the_mean_over_folds_and_the_metrics_are_of_all_out_of_fold_rows(
    store: Store, plan: FoldPlan
) -> None:
    seen: list[Epoch] = []
    result = run_experiment(small(), store, plan, on_epoch=seen.append)
    assert [epoch.step for epoch in seen] == [0, 1, 2, 3]
    assert [epoch.fold for epoch in seen] == [0, 0, 1, 1]
    assert result.value == np.mean([seen[1].value, seen[3].value]) == np.mean([fold.value for fold in result.folds])
    assert sorted(result.rows) == list(range(len(store)))
    target = store.targets[result.rows]
    assert result.metrics["kl_all"] == pytest.approx(kl(target, result.probabilities))
    pooled = scores(target, result.probabilities, store.high[result.rows])
    assert pooled.items() <= result.metrics.items()
    assert result.metrics["kl_interval_low"] < result.metrics["kl_all"] < result.metrics["kl_interval_high"]
    assert not result.optimistic


def test_the_same_seed_repeats_an_experiment_to_the_last_bit_and_another_does_not(store: Store, plan: FoldPlan) -> None:
    first, again = (run_experiment(small(), store, plan, seed=7) for _ in range(2))
    other = run_experiment(small(), store, plan, seed=8)
    assert first.value == again.value
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert first.value != other.value


def test_a_fold_does_not_depend_on_which_folds_ran_before_it(store: Store, plan: FoldPlan) -> None:
    both, second = (run_experiment(small(), store, replace(plan, use=use)) for use in ((0, 1), (1,)))
    assert both.folds[1].value == second.folds[0].value
    assert second.folds[0].epochs[0].step == 0


def test_nothing_of_the_validation_rows_reaches_the_datawide_statistics(store: Store, plan: FoldPlan) -> None:
    result = run_experiment(small(training={"epochs": 1}), store, plan)
    for fold, pipeline in zip(plan.use, result.pipelines, strict=True):
        expected = clipped_moments(store.histograms()[plan.split(fold)[0]].sum(axis=0, dtype=np.int64), -6, 10)
        assert (pipeline.mean, pipeline.std) == (expected.mean, expected.std)
    assert result.pipelines[0] != result.pipelines[1]


def test_recordings_of_any_length_train_together_and_windows_without_a_resize(
    prepared: Path, store: Store, plan: FoldPlan
) -> None:
    assert len({len(store.spectrogram(row)) for row in range(len(store))}) > 1
    assert np.isfinite(run_experiment(small(training={"epochs": 1}), store, plan).value)
    windows = Store.open(prepared, LabelSampling())
    config = small(pipeline={"resize": None, "normalise": {"name": "robust"}}, training={"epochs": 1})
    assert np.isfinite(run_experiment(config, windows, AFewRows()).value)


def test_the_objective_is_the_stratum_that_the_value_is_of(store: Store, plan: FoldPlan) -> None:
    result = run_experiment(small(training={"epochs": 1}), store, plan, objective="high")
    assert result.value == np.mean([fold.metrics["kl_high"] for fold in result.folds])


def test_an_objective_without_validation_rows_is_refused_before_training(store: Store, plan: FoldPlan) -> None:
    def unexpected(_: Epoch) -> None:
        raise AssertionError("trained although a fold cannot be scored")

    low_only = replace(store, high=np.zeros(len(store), dtype=bool))
    with pytest.raises(DataError, match="high stratum, but it has no validation row in fold 0, 1; use objective: all"):
        run_experiment(small(), low_only, plan, objective="high", on_epoch=unexpected)


def test_a_decision_to_stop_crosses_the_experiment(store: Store, plan: FoldPlan) -> None:
    def stop_in_the_second_fold() -> Callable[[Epoch], None]:
        def judge(epoch: Epoch) -> None:
            if epoch.position == 1:
                raise TrialStopped("pruned")

        return judge

    with pytest.raises(TrialStopped, match="pruned"):
        run_experiment(small(training={"epochs": 1}), store, plan, on_epoch=stop_in_the_second_fold())


@pytest.mark.parametrize("device", ["gpu", "cuda:63"])
def test_a_device_that_is_not_there_is_named(store: Store, plan: FoldPlan, device: str) -> None:
    with pytest.raises(ConfigError, match=f"{device}"):
        run_experiment(small(), store, plan, device=device)
