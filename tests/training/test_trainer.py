import gc
import math
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from hms_search.data.batches import Batches, InOrder
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.errors import ConfigError, TrainingError, TrialStopped
from hms_search.training.config import TrainingConfig
from hms_search.training.optim import SGD, AdamW
from hms_search.training.results import Epoch, FoldResult, Slot, ignore
from hms_search.training.schedulers import Constant, Cosine
from hms_search.training.trainer import fit

TRAIN, VALIDATION = np.arange(36), np.arange(36, 48)
MakeBatches = Callable[..., Batches]


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((6, 1)),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(48, 6),
        )


def config(**options: object) -> TrainingConfig:
    defaults = {"epochs": 4, "batch_size": 8, "optimiser": AdamW(lr=0.01)}
    return TrainingConfig.model_validate(defaults | options)


def run(store, batches: MakeBatches, training: TrainingConfig, *, on_epoch=ignore, seed: int = 0) -> FoldResult:
    slot = Slot(fold=2, seed=seed)
    return fit(
        network(), batches(store, TRAIN, seed=seed), batches(store, VALIDATION), training, slot=slot, on_epoch=on_epoch
    )


def test_a_network_learns_what_can_be_learned(store, batches: MakeBatches) -> None:
    result = run(store, batches, config(epochs=6))
    assert result.value < 0.5 * result.epochs[0].value
    assert result.metrics["accuracy"] > 0.9
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss


def test_the_same_seed_gives_the_same_value_to_the_last_bit_and_another_does_not(store, batches: MakeBatches) -> None:
    first, second, other = (run(store, batches, config(), seed=seed) for seed in (0, 0, 1))
    assert first.value == second.value
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.value != other.value


def test_training_leaves_the_global_random_state_alone(store, batches: MakeBatches) -> None:
    before = torch.get_rng_state()
    run(store, batches, config(epochs=1))
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_the_value_is_the_last_epochs_and_fits_the_predictions(store, batches: MakeBatches) -> None:
    seen: list[Epoch] = []
    result = run(store, batches, config(), on_epoch=seen.append)
    assert tuple(seen) == result.epochs
    assert [epoch.step for epoch in seen] == [0, 1, 2, 3]
    assert (result.value, result.selected_epoch, result.optimistic) == (seen[-1].value, 3, False)
    np.testing.assert_array_equal(result.rows, VALIDATION)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    target = store.targets[result.rows]
    assert result.value == pytest.approx((target * np.log(target / result.probabilities)).sum(axis=1).mean())


def test_the_best_epoch_keeps_its_value_and_weights_and_is_marked_as_optimistic(store, batches: MakeBatches) -> None:
    unstable = config(epochs=8, optimiser=SGD(lr=0.6, momentum=0.0), scheduler=Constant(), select="best")
    model = network()
    result = fit(model, batches(store, TRAIN, seed=0), batches(store, VALIDATION), unstable, slot=Slot(0))
    values = [epoch.value for epoch in result.epochs]
    assert result.optimistic
    assert result.value == min(values) < values[-1]
    assert result.selected_epoch == int(np.argmin(values))
    with torch.inference_mode():
        again = model.eval()(next(iter(batches(store, VALIDATION))).x).softmax(1)
    np.testing.assert_allclose(again, result.probabilities[:8], atol=1e-5)


def test_the_training_loss_weighs_every_row_alike_in_unequal_batches(store, batches: MakeBatches) -> None:
    still = config(epochs=1, optimiser=SGD(lr=1e-12, momentum=0.0))
    model = network()
    model[5].p = 0.0
    rows = TRAIN[:13]
    result = fit(model, batches(store, rows, seed=0), batches(store, VALIDATION), still, slot=Slot(0))
    model.train()
    losses = []
    for batch in batches(store, rows, seed=0):
        p = batch.target.double()
        losses += (p * (p.log() - model(batch.x).double().log_softmax(1))).sum(1).tolist()
    assert result.epochs[0].train_loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_decision_to_stop_ends_training_at_once_and_frees_the_loading_threads(store, batches: MakeBatches) -> None:
    seen: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        seen.append(epoch)
        raise TrialStopped("pruned")

    with pytest.raises(TrialStopped):
        run(store, batches, config(), on_epoch=stop)
    assert len(seen) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("training", [config(epochs=1), config(epochs=1, optimiser=SGD(lr=1e38))])
def test_a_stopped_or_failed_fold_leaves_no_network_behind(
    store, batches: MakeBatches, training: TrainingConfig
) -> None:
    def stop(_: Epoch) -> None:
        raise TrialStopped("pruned")

    model = network()
    left = weakref.ref(model[0])
    try:
        fit(model, batches(store, TRAIN), batches(store, VALIDATION), training, slot=Slot(0), on_epoch=stop)
    except (TrialStopped, TrainingError):
        del model
    gc.collect()
    assert left() is None


@pytest.mark.parametrize("lr", [1e4, 1e38])
def test_divergence_ends_training_with_the_epoch_the_rate_and_a_remedy(store, batches: MakeBatches, lr: float) -> None:
    with pytest.raises(TrainingError, match=r"diverged in epoch \d at lr 1e\+\d+: .*lower training\.optimiser\.lr"):
        run(store, batches, config(optimiser=SGD(lr=lr, nesterov=True), scheduler=Constant()))


def test_predictions_that_are_not_finite_end_training(store, batches: MakeBatches) -> None:
    model = network()
    model[1].running_var.fill_(torch.nan)  # used in validation only
    model[1].momentum = 0.0
    with pytest.raises(TrainingError, match="found NaN in 12 of 12 rows"):
        fit(model, batches(store, TRAIN), batches(store, VALIDATION), config(), slot=Slot(0))


def test_running_out_of_memory_names_the_batch_size_and_the_image(store, batches: MakeBatches) -> None:
    train = batches(store, TRAIN, resize=(4_000_000, 4_000_000))
    with pytest.raises(TrainingError, match="batch_size 8 and images of 4000000 x 4000000; lower"):
        fit(network(), train, batches(store, VALIDATION), config(), slot=Slot(0))


def test_an_error_of_another_kind_is_not_taken_for_lack_of_memory(store, batches: MakeBatches) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(
            nn.Sequential(nn.Flatten(), nn.Linear(5, 6)),
            batches(store, TRAIN),
            batches(store, VALIDATION),
            config(),
            slot=Slot(0),
        )


def test_clipping_bounds_the_step(store, batches: MakeBatches) -> None:
    model = network()
    before = [weight.detach().clone() for weight in model.parameters()]
    options = {"epochs": 1, "optimiser": SGD(lr=1.0, momentum=0.0), "scheduler": Constant(), "gradient_clip": 1e-3}
    fit(model, batches(store, TRAIN[:8]), batches(store, VALIDATION), config(**options), slot=Slot(0))
    after = [weight.detach() for weight in model.parameters()]
    moved = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(before, after, strict=True)))
    assert 0 < moved <= 1.01e-3


def test_bfloat16_trains_on_a_cpu_and_float16_says_what_it_needs(store, batches: MakeBatches) -> None:
    assert math.isfinite(run(store, batches, config(epochs=1, amp="bfloat16")).value)
    with pytest.raises(ConfigError, match="float16 needs a CUDA device, found cpu"):
        run(store, batches, config(epochs=1, amp="float16"))


def test_the_objective_decides_which_rows_the_value_is_of(store, batches: MakeBatches) -> None:
    slot = Slot(0, objective="high")
    result = fit(network(), batches(store, TRAIN), batches(store, VALIDATION), config(epochs=1), slot=slot)
    assert result.value == result.metrics["kl_high"] != result.metrics["kl_all"]


def test_a_warm_up_must_end_before_training_does() -> None:
    with pytest.raises(ValidationError, match="warmup_epochs must be below epochs, found 2 with epochs 2"):
        TrainingConfig(epochs=2, scheduler=Cosine(warmup_epochs=2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", ["auto", "off", "bfloat16", "float16"])
def test_a_network_learns_on_a_gpu_in_every_precision(store, amp: str) -> None:
    def on_gpu(rows: np.ndarray) -> Batches:
        pipeline = SpectrogramPipeline(resize=(32, 32)).fit(np.zeros(0, dtype=np.int64))
        draw = InOrder(rows, store.targets)
        return Batches(store, draw, pipeline, batch_size=8, device=torch.device("cuda"))

    result = fit(network(), on_gpu(TRAIN), on_gpu(VALIDATION), config(epochs=6, amp=amp), slot=Slot(0))
    assert result.value < 0.7 * result.epochs[0].value
