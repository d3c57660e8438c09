import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from hms_search.errors import ConfigError
from hms_search.training.config import TrainingConfig
from hms_search.training.parameter_groups import LrGroup, parameter_groups
from hms_search.training.results import Slot
from hms_search.training.schedulers import Constant, Cosine, OneCycle, Plateau, Schedule, Step
from hms_search.training.trainer import fit

TRAIN, VALIDATION = np.arange(36), np.arange(36, 48)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Linear(196, 6)

    def forward(self, x):
        return self.classifier(self.image(x))


def groups(*lr_groups, on="all"):
    """The names of each group's parameters, with its scale and whether it decays."""
    network = Network()
    names = {parameter: name for name, parameter in network.named_parameters()}
    parts = [LrGroup(prefix=prefix, factor=factor) for prefix, factor in lr_groups]
    return [
        ({names[one] for one in group["params"]}, group["lr_scale"], "weight_decay" not in group)
        for group in parameter_groups(network, parts, on)
    ]


ALL = {name for name, _ in Network().named_parameters()}


def test_without_options_there_is_one_group_in_the_networks_order():
    network = Network()
    (group,) = parameter_groups(network, (), "all")
    assert all(one is other for one, other in zip(group["params"], network.parameters(), strict=True))
    assert groups() == [(ALL, 1.0, True)]


def test_each_parameter_goes_to_the_longest_prefix_that_fits_it():
    found = groups(("image.", 0.1), ("image.1", 0.5), ("classifier.bias", 10.0))
    assert found == [
        ({"image.0.weight", "image.0.bias"}, 0.1, True),
        ({"image.1.weight", "image.1.bias"}, 0.5, True),
        ({"classifier.weight"}, 1.0, True),
        ({"classifier.bias"}, 10.0, True),
    ]


def test_biases_and_normalisation_can_be_left_out_of_the_decay():
    found = groups(("classifier", 2.0), on="weights")
    assert found == [
        ({"image.0.weight"}, 1.0, True),
        ({"image.0.bias", "image.1.weight", "image.1.bias"}, 1.0, False),
        ({"classifier.weight"}, 2.0, True),
        ({"classifier.bias"}, 2.0, False),
    ]
    optimiser = torch.optim.AdamW(parameter_groups(Network(), (), "weights"), weight_decay=0.3)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.3, 0.0]


def test_a_prefix_that_fits_nothing_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match=r"lr_groups\.1: no .* 'imag\.', .*; names begin with image, classifier"):
        groups(("classifier", 2.0), ("imag.", 0.1))
    with pytest.raises(ConfigError, match=r"names begin with image\.0, image\.1, classifier\.weight, classifier\.bias"):
        groups(("image.2.", 0.1))
    with pytest.raises(ConfigError, match=r"lr_groups\.0: .* or all of them with a longer prefix"):
        groups(("image", 0.1), ("image.", 0.2))
    with pytest.raises(ValidationError, match="each prefix once, found image again"):
        TrainingConfig.model_validate(
            {"lr_groups": [{"prefix": "image", "factor": 2}, {"prefix": "image", "factor": 3}]}
        )


@pytest.mark.parametrize(
    "scheduler",
    [Cosine(eta_min=1e-3, warmup_epochs=1), Plateau(patience=0), OneCycle(), Step(), Constant()],
    ids=lambda one: one.name,
)
def test_every_schedule_scales_every_group(scheduler):
    optimiser = torch.optim.SGD(
        parameter_groups(Network(), [LrGroup(prefix="image.", factor=0.1), LrGroup(prefix="cl", factor=10)], "all"),
        lr=0.01,
    )
    schedule = Schedule(scheduler, optimiser, epochs=4)
    alone = Schedule(scheduler, torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01), epochs=4)
    for epoch in range(4):
        for step in range(3):
            rate = schedule.set(epoch, step, 3)
            assert rate == alone.set(epoch, step, 3)
            assert [group["lr"] for group in optimiser.param_groups] == [rate * 0.1, rate * 10]
        for one in (schedule, alone):
            one.epoch_ended(train=1.0, validation=1.0)


def trained(store, batches, **options):
    config = TrainingConfig.model_validate({"epochs": 2, "batch_size": 8, **options})
    model = Network()
    result = fit(model, batches(store, TRAIN, seed=0), batches(store, VALIDATION), config, slot=Slot(0))
    return model, result


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_factors_of_one_train_to_the_same_value(store, batches, name):
    plain = trained(store, batches, optimiser={"name": name})[1]
    split = trained(store, batches, optimiser={"name": name}, lr_groups=[{"prefix": "image.", "factor": 1}])[1]
    assert split.value == plain.value


def test_a_tiny_factor_holds_its_parameters_and_lets_the_others_learn(store, batches):
    before = Network()
    slow = [{"prefix": "image.", "factor": 1e-12}]
    model, result = trained(store, batches, optimiser={"name": "sgd", "lr": 0.1}, lr_groups=slow)
    torch.testing.assert_close(list(model.image.parameters()), list(before.image.parameters()))
    assert (model.classifier.weight - before.classifier.weight).abs().max() > 1e-3
    assert result.epochs[0].lr == 0.1


def test_weights_alone_decay_where_that_is_asked_for(store, batches):
    decaying = {"optimiser": {"name": "adamw", "lr": 1e-9, "weight_decay": 1e8}, "scheduler": {"name": "constant"}}
    everywhere, _ = trained(store, batches, **decaying)
    weights, _ = trained(store, batches, **decaying, weight_decay_on="weights")
    assert everywhere.image[1].weight.abs().max() < 0.9
    torch.testing.assert_close(weights.image[1].weight, torch.ones(4))
    assert weights.classifier.weight.abs().max() < 0.9 * Network().classifier.weight.abs().max()
