"""Several batches to a step are one large batch to the network's weights."""

import numpy as np
import pytest
import torch
from torch import nn

from hms_search.training.accumulation import n_steps, parts
from hms_search.training.config import TrainingConfig
from hms_search.training.results import Slot
from hms_search.training.trainer import fit

VALIDATION = np.arange(42, 48)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(196, 6))


def trained(store, batches, rows, *, batch_size, accumulate, **options):
    config = TrainingConfig.model_validate(
        {
            "epochs": 2,
            "batch_size": batch_size,
            "accumulate": accumulate,
            "optimiser": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
            **options,
        }
    )
    model = network()
    train = batches(store, rows, seed=1, config=config, batch_size=batch_size)
    result = fit(model, train, batches(store, VALIDATION), config, slot=Slot(0, seed=1))
    return model, result


OPTIONS = {
    "plain": {},
    "weighted": {"weights": {"name": "linear"}},
    "clipped": {"gradient_clip": 0.05},
    "a rate that changes with every step": {"scheduler": {"name": "one_cycle"}},
    "a warm-up": {"scheduler": {"name": "cosine", "warmup_epochs": 1.5}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("n_rows", [36, 40, 41, 37, 7])  # 41 and 37 leave a single row over, which joins the last batch
def test_three_batches_to_a_step_train_like_one_batch_of_three_times_the_rows(store, batches, n_rows, options):
    rows = np.arange(n_rows)
    small, in_parts = trained(store, batches, rows, batch_size=4, accumulate=3, **options)
    large, as_one = trained(store, batches, rows, batch_size=12, accumulate=1, **options)
    for mine, other in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)
    for mine, other in zip(in_parts.epochs, as_one.epochs, strict=True):
        assert mine.lr == pytest.approx(other.lr)
        assert mine.train_loss == pytest.approx(other.train_loss, rel=1e-5)


@pytest.mark.parametrize(("n_rows", "accumulate"), [(36, 1), (36, 4), (13, 2), (9, 2), (8, 3), (30, 99)])
def test_the_shares_of_a_step_add_up_and_every_row_counts_alike_in_it(store, batches, n_rows, accumulate):
    train = batches(store, np.arange(n_rows), seed=0, batch_size=4)
    portion = train.draw.portion(0)
    steps = {}
    for part in parts(train, portion, accumulate):
        steps.setdefault(part.step, []).append(part)
    assert list(steps) == list(range(n_steps(train, portion, accumulate)))
    for of_step in steps.values():
        assert sum(part.share for part in of_step) == pytest.approx(1)
        assert np.ptp([part.share / len(part.batch.rows) for part in of_step]) < 1e-12
        assert [part.first for part in of_step] == [True] + [False] * (len(of_step) - 1)
        assert [part.last for part in of_step] == [False] * (len(of_step) - 1) + [True]
    assert {len(of_step) for number, of_step in steps.items() if number + 1 < len(steps)} <= {accumulate}
