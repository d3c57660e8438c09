import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from hms_search.training.schedulers import Constant, Cosine, OneCycle, Plateau, Schedule, Scheduler, Step

BASE = 0.01


def optimiser() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


def rates(scheduler: Scheduler, epochs: int, batches: int = 1, losses: list[float] | None = None) -> list[float]:
    """The learning rate of every batch."""
    schedule = Schedule(scheduler, optimiser(), epochs=epochs)
    seen = []
    for epoch in range(epochs):
        seen += [schedule.set(epoch, batch, batches) for batch in range(batches)]
        loss = losses[epoch] if losses else 1.0
        schedule.epoch_ended(train=loss, validation=-loss)
    return seen


def torch_rates(build: type[lr_scheduler.LRScheduler], n: int, **options: object) -> list[float]:
    steps = optimiser()
    reference = build(steps, **options)  # type: ignore[arg-type]
    seen = []
    for _ in range(n):
        seen.append(float(steps.param_groups[0]["lr"]))
        steps.step()
        reference.step()
    return seen


@given(epochs=st.integers(1, 20))
@settings(deadline=None)
def test_cosine_equals_pytorchs_with_as_many_epochs(epochs: int) -> None:
    expected = torch_rates(lr_scheduler.CosineAnnealingLR, epochs, T_max=epochs, eta_min=1e-4)
    assert rates(Cosine(eta_min=1e-4), epochs) == pytest.approx(expected)


def test_cosine_keeps_its_rate_within_an_epoch() -> None:
    seen = rates(Cosine(), epochs=2, batches=5)
    assert seen == pytest.approx([BASE] * 5 + [BASE / 2] * 5)


@pytest.mark.parametrize(("epochs", "batches"), [(2, 10), (3, 7), (1, 40)])
def test_one_cycle_equals_pytorchs_batch_by_batch(epochs: int, batches: int) -> None:
    n = epochs * batches
    expected = torch_rates(lr_scheduler.OneCycleLR, n - 1, max_lr=BASE, total_steps=n, cycle_momentum=False)
    assert rates(OneCycle(), epochs, batches)[:-1] == pytest.approx(expected)


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_one_cycle_of_few_batches_still_learns(batches: int) -> None:
    seen = rates(OneCycle(), 1, batches)
    assert max(seen) == pytest.approx(BASE)
    assert min(seen) > 0


@given(losses=st.lists(st.floats(0.1, 2), min_size=1, max_size=12), patience=st.integers(0, 3))
@settings(deadline=None)
def test_plateau_equals_pytorchs(losses: list[float], patience: int) -> None:
    steps = optimiser()
    reference = lr_scheduler.ReduceLROnPlateau(steps, factor=0.5, patience=patience, eps=0)
    expected = []
    for loss in losses:
        expected.append(float(steps.param_groups[0]["lr"]))
        reference.step(loss)
    assert rates(Plateau(factor=0.5, patience=patience), len(losses), losses=losses) == pytest.approx(expected)


def test_plateau_sees_the_validation_loss_only_when_asked_to() -> None:
    falling = [1.0, 0.9, 0.8, 0.7, 0.6]  # the negated validation loss rises
    assert rates(Plateau(), 5, losses=falling) == [BASE] * 5
    assert rates(Plateau(monitor="validation"), 5, losses=falling)[-1] < BASE


def test_step_equals_pytorchs() -> None:
    assert rates(Step(step_epochs=3), 8) == pytest.approx(torch_rates(lr_scheduler.StepLR, 8, step_size=3))


@pytest.mark.parametrize("scheduler", [Cosine, Plateau, Step, Constant])
@pytest.mark.parametrize("warmup", [0.5, 1.0, 2.0])
def test_a_warm_up_rises_from_batch_to_batch_and_ends_at_the_full_rate(
    scheduler: type[Cosine | Plateau | Step | Constant], warmup: float
) -> None:
    seen = rates(scheduler(warmup_epochs=warmup), epochs=6, batches=10, losses=[1.0 - epoch / 10 for epoch in range(6)])
    n = int(warmup * 10)
    assert all(earlier < later for earlier, later in pairwise(seen[: n + 1]))
    assert 0 < seen[0] < BASE
    assert seen[n] == pytest.approx(BASE, rel=0.05)


def test_constant_is_constant() -> None:
    assert rates(Constant(), 3, 4) == [BASE] * 12


@given(epochs=st.integers(1, 9), warmup=st.floats(0, 0.99), batches=st.integers(1, 9))
@settings(deadline=None)
def test_no_schedule_leaves_the_range_from_zero_to_the_base_rate(epochs: int, warmup: float, batches: int) -> None:
    for scheduler in (
        Cosine(warmup_epochs=warmup),
        Plateau(warmup_epochs=warmup),
        Step(warmup_epochs=warmup),
        Constant(warmup_epochs=warmup),
        OneCycle(),
    ):
        assert all(math.isfinite(rate) and 0 <= rate <= BASE * (1 + 1e-9) for rate in rates(scheduler, epochs, batches))
