"""What every normalisation, optimiser and schedule must do, whichever it is."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hms_search.component import Component
from hms_search.eeg.histogram import count_log_power
from hms_search.eeg.normalise import Datawide, Instance, Robust, Unnormalised
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.training.losses import kl_divergence
from hms_search.training.optim import SGD, Adam, AdamW, Optimiser
from hms_search.training.schedulers import Constant, Cosine, OneCycle, Plateau, Schedule, Scheduler, Step

NORMALISATIONS = [Instance(), Datawide(), Robust(), Unnormalised()]
OPTIMISERS = [AdamW(), Adam(), SGD(), SGD(nesterov=True)]
SCHEDULERS = [Cosine(), Plateau(), OneCycle(), Step(), Constant()]


def named(components: list[Component]) -> list[object]:
    return [pytest.param(component, id=type(component).__name__ + f"-{i}") for i, component in enumerate(components)]


def awkward_recordings() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    normal = torch.from_numpy(rng.normal(0, 3, (30, 400)).astype(np.float16))
    half_gap = normal.clone()
    half_gap[:15] = torch.nan
    return {
        "normal": normal,
        "flat": torch.full((30, 400), 1.5, dtype=torch.float16),
        "no power": torch.full((30, 400), -torch.inf, dtype=torch.float16),
        "all missing": torch.full((30, 400), torch.nan, dtype=torch.float16),
        "half missing": half_gap,
        "saturated": torch.full((30, 400), torch.inf, dtype=torch.float16),
    }


@pytest.mark.parametrize("gap_fill", ["floor", "mean"])
@pytest.mark.parametrize("normalise", named(NORMALISATIONS))
def test_a_normalisation_makes_a_finite_image_of_any_recording(normalise: Component, gap_fill: str) -> None:
    recordings = awkward_recordings()
    counts = count_log_power(recordings["normal"].numpy()).astype(np.int64)
    config = {"normalise": normalise.to_dict(), "gap_fill": gap_fill, "resize": [32, 16]}
    pipeline = SpectrogramPipeline.model_validate(config).fit(counts)
    image = pipeline.forward(torch.stack(list(recordings.values())))
    assert image.shape == (6, 1, 32, 16)
    assert image.dtype == torch.float32
    assert image.isfinite().all()
    assert image.abs().max() < 1e3
    torch.testing.assert_close(image, pipeline.forward(torch.stack(list(recordings.values()))), rtol=0, atol=0)


@pytest.mark.parametrize("optimiser", named(OPTIMISERS))
def test_an_optimiser_moves_every_parameter_and_lowers_the_loss(optimiser: Optimiser) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6))
    x, target = torch.randn(32, 5), torch.softmax(3 * torch.randn(32, 6), dim=1)
    before = [weight.detach().clone() for weight in network.parameters()]
    steps = optimiser.build(network.parameters())
    losses = []
    for _ in range(50):
        loss = kl_divergence(network(x), target).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("scheduler", named(SCHEDULERS))
@pytest.mark.parametrize(("epochs", "batches"), [(1, 1), (2, 3), (9, 100)])
def test_a_schedule_gives_every_batch_a_rate_it_can_learn_with(scheduler: Scheduler, epochs: int, batches: int) -> None:
    steps = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = Schedule(scheduler, steps, epochs=epochs)
    for epoch in range(epochs):
        for batch in range(batches):
            rate = schedule.set(epoch, batch, batches)
            assert math.isfinite(rate)
            assert 0 < rate <= 0.1 * (1 + 1e-9)
            assert steps.param_groups[0]["lr"] == rate
        schedule.epoch_ended(train=1.0, validation=1.0)
