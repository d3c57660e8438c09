"""Averages of weights against the same averages written out by hand."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from hms_search.training.averaging import Ema
from hms_search.training.config import TrainingConfig
from hms_search.training.learner import Learner
from hms_search.training.passes import predict, train_epoch
from hms_search.training.results import Slot
from hms_search.training.trainer import fit

TRAIN, VALIDATION = np.arange(32), np.arange(32, 48)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(196, 6)
    )


def config(**options):
    return TrainingConfig.model_validate({"epochs": 4, "batch_size": 8, **options})


def trained(store, batches, training, **options):
    model = network()
    train = batches(store, TRAIN, seed=1, config=training)
    return model, fit(model, train, batches(store, VALIDATION), training, slot=Slot(0, seed=1), **options)


def probabilities(model, store, batches):
    with torch.inference_mode():
        return torch.cat([model.eval()(batch.x) for batch in batches(store, VALIDATION)]).double().softmax(1).numpy()


def floating(state):
    return {name: value.detach().clone() for name, value in state.items() if value.is_floating_point()}


@pytest.mark.parametrize("ema", [{"decay": 0.9, "warmup": False}, {"decay": 0.5}, {"decay": 0.99}])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_moving_average_follows_its_formula_step_by_step_with_batch_normalisation(store, batches, ema, accumulate):
    training = config(ema=ema, accumulate=accumulate)
    model = network()
    learner = Learner.of(model, training, torch.device("cpu"))
    seen = []
    learner.optimiser.register_step_post_hook(lambda *_: seen.append(floating(model.state_dict())))
    train = batches(store, TRAIN, seed=1, config=training)
    for epoch in range(3):
        train_epoch(learner, train, epoch)
    assert len(seen) == 3 * 4 // accumulate
    expected = seen[0]
    for n, weights in enumerate(seen[1:], start=1):
        decay = min(ema["decay"], (1 + n) / (10 + n)) if ema.get("warmup", True) else ema["decay"]
        expected = {name: decay * value + (1 - decay) * weights[name] for name, value in expected.items()}
    torch.testing.assert_close(floating(learner.average.network.state_dict()), expected)
    assert "1.running_mean" in expected
    assert not torch.allclose(expected["5.weight"], seen[-1]["5.weight"])


def test_whole_numbers_among_the_buffers_are_taken_over_and_not_averaged():
    model = network()
    model.register_buffer("indices", torch.arange(100))
    learner = Learner.of(model, config(ema={"decay": 0.99, "warmup": False}), torch.device("cpu"))
    for _ in range(5):
        model[1].num_batches_tracked += 1
        learner.average.step_taken()
    averaged = learner.average.network.state_dict()
    assert torch.equal(averaged["indices"], torch.arange(100))
    assert averaged["1.num_batches_tracked"] == 5


def test_a_warm_up_forgets_early_weights_and_ends_at_the_decay():
    slow = Ema(decay=0.999)
    decays = [slow.decay_after(steps) for steps in range(1, 20_000)]
    assert decays == sorted(decays)
    assert (decays[0], decays[-1]) == (pytest.approx(2 / 11), 0.999)
    assert np.prod(decays[:200]) < 1e-12 < 1e-1 < 0.999**200


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("average", [{"ema": {"decay": 0.9}}, {"swa": {"start": 2}}, {"swa": {"start": 0, "lr": 0.01}}])
def test_what_is_validated_is_what_the_network_is_left_with(store, batches, average, select):
    model, result = trained(store, batches, config(**average, select=select))
    np.testing.assert_allclose(probabilities(model, store, batches), result.probabilities, atol=1e-6)
    assert result.value == result.epochs[result.selected_epoch].value


@pytest.mark.parametrize("average", [{"ema": {"decay": 0.9}}, {"swa": {"start": 2}}])
def test_averaging_leaves_the_training_itself_alone(store, batches, average):
    _, plain = trained(store, batches, config())
    _, averaged = trained(store, batches, config(**average))
    assert [epoch.train_loss for epoch in averaged.epochs] == [epoch.train_loss for epoch in plain.epochs]
    assert averaged.value != plain.value


def test_swa_is_the_mean_over_the_last_epochs_and_takes_the_networks_place_at_the_end(store, batches):
    training = config(swa={"start": 1}, epochs=4)
    model, after_epochs = network(), []
    train = batches(store, TRAIN, seed=1, config=training)
    result = fit(
        model,
        train,
        batches(store, VALIDATION),
        training,
        slot=Slot(0, seed=1),
        on_epoch=lambda _: after_epochs.append(floating(dict(model.named_parameters()))),
    )
    for name, weight in model.named_parameters():
        expected = torch.stack([weights[name] for weights in after_epochs[1:]]).mean(dim=0)
        torch.testing.assert_close(weight.detach(), expected)
    plain = trained(store, batches, config())[1]
    assert [epoch.value for epoch in result.epochs[:3]] == [epoch.value for epoch in plain.epochs[:3]]


def test_swa_takes_batch_normalisation_anew_over_the_training_rows(store, batches):
    model, _ = trained(store, batches, config(swa={"start": 2}))
    with torch.inference_mode():
        hidden = torch.cat([model[0](batch.x) for batch in batches(store, TRAIN)])
    torch.testing.assert_close(model[1].running_mean, hidden.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert model[1].momentum == 0.1


def test_swas_rate_takes_over_at_its_start(store, batches):
    scheduled = [epoch.lr for epoch in trained(store, batches, config())[1].epochs]
    for start in range(4):
        rates = [epoch.lr for epoch in trained(store, batches, config(swa={"start": start, "lr": 0.03}))[1].epochs]
        assert rates == [*scheduled[:start], *[0.03] * (4 - start)]


def test_an_average_learns_in_bfloat16_too(store, batches):
    for average in ({"ema": {"decay": 0.5}}, {"swa": {"start": 2}}):
        _, result = trained(store, batches, config(**average, amp="bfloat16", accumulate=2, epochs=6))
        assert result.value < result.epochs[0].value


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", ["off", "bfloat16", "float16"])
@pytest.mark.parametrize("average", [{"ema": {"decay": 0.5}}, {"swa": {"start": 4}}])
def test_an_average_of_accumulated_and_clipped_steps_learns_on_a_gpu(store, batches, amp, average):
    cuda = torch.device("cuda")
    training = config(**average, amp=amp, accumulate=2, gradient_clip=1.0, epochs=8, optimiser={"name": "adamw"})
    train, validation = batches(store, TRAIN, seed=1, device=cuda), batches(store, VALIDATION, device=cuda)
    model = network()
    result = fit(model, train, validation, training, slot=Slot(0, seed=1))
    assert result.value < 0.9 * result.epochs[0].value
    np.testing.assert_allclose(probabilities(model.cpu(), store, batches), result.probabilities, atol=0.02)


def test_a_network_without_batch_normalisation_is_averaged_without_another_pass(store, batches):
    training = config(swa={"start": 3})
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 6))
    learner = Learner.of(model, training, torch.device("cpu"))
    train = batches(store, TRAIN, seed=1, config=training)
    before = train.draw.generator.get_state()
    learner.average.epoch_ended(3, train, learner.precision)
    assert learner.average.network is not model
    assert torch.equal(before, train.draw.generator.get_state())
    rows, said = predict(learner.average.network, batches(store, VALIDATION), learner.precision)
    np.testing.assert_array_equal(rows, VALIDATION)
    np.testing.assert_allclose(said, probabilities(model, store, batches), atol=1e-6)


def test_two_averages_or_one_that_never_starts_are_refused_in_one_line():
    with pytest.raises(ValidationError, match="expected one of them, found both"):
        config(ema={}, swa={"start": 1})
    with pytest.raises(ValidationError, match=r"swa\.start must be below epochs, found 4 with epochs 4"):
        config(swa={"start": 4})
