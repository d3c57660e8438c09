"""What a network costs, known before it is trained."""

import pytest
import torch
from synthetic_store import synthetic_store

from hms_search.data.store import Store
from hms_search.experiment import ExperimentConfig
from hms_search.search.aims import COSTS
from hms_search.search.footprint import footprint


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_store(tmp_path_factory.mktemp("footprint"), n_patients=4, seed=1)


def config(optimiser: str = "adamw", batch_size: int = 4, backbone: str = "test_resnet") -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "pipeline": {"source": "spectrogram", "resize": [32, 32], "normalise": {"name": "instance"}},
            "model": {"name": "timm", "backbone": backbone, "weights": "none"},
            "training": {"batch_size": batch_size, "optimiser": {"name": optimiser}},
        }
    )


def test_all_costs_of_a_network_are_found_and_nothing_that_was_not_asked_for(store: Store) -> None:
    found = footprint(config(), store, COSTS, device="cpu")
    network = config().model.build(config().pipeline.shape, classes=6)
    assert found["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert found["latency_ms"] > 0
    assert footprint(config(), store, ["parameters"], device="cpu").keys() == {"parameters"}
    assert footprint(config(), store, [], device="cpu") == {}


def test_memory_is_weights_gradients_moments_and_what_grows_with_the_batch(store: Store) -> None:
    def memory(**changes: object) -> float:
        return footprint(config(**changes), store, ["memory_mb"], device="cpu")["memory_mb"]  # type: ignore[arg-type]

    weights = 4 * footprint(config(), store, ["parameters"], device="cpu")["parameters"] / 1e6
    small, large = memory(batch_size=4), memory(batch_size=8)
    assert memory(batch_size=4) == small  # counted, not measured
    of_a_row = (large - small) / 4
    assert of_a_row > 0.05
    assert small == pytest.approx(4 * weights + 4 * of_a_row, rel=0.05)  # Adam keeps two moments
    assert memory(batch_size=4, optimiser="sgd") < small - weights


def test_what_is_measured_leaves_chance_as_it_was(store: Store) -> None:
    torch.manual_seed(5)
    footprint(config(), store, COSTS, device="cpu")
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
