import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hms_search.training.config import TrainingConfig
from hms_search.training.results import Slot
from hms_search.training.schedulers import Constant, Cosine, OneCycle, Plateau, Schedule
from hms_search.training.stages import Stage, StagedSchedule, begins_afresh, spans_of
from hms_search.training.trainer import fit

BASE = 0.01


def optimiser():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


def rates(config, losses=None):
    """The learning rate of each epoch."""
    steps = optimiser()
    schedule = StagedSchedule(config.spans, config.scheduler, steps)
    seen = []
    for epoch in range(config.epochs):
        seen.append(schedule.set(epoch, 0, 1))
        assert steps.param_groups[0]["lr"] == seen[-1]
        loss = losses[epoch] if losses else 1.0
        schedule.epoch_ended(epoch, train=loss, validation=loss)
    return seen


def plain(scheduler, epochs, lr=None):
    schedule = Schedule(scheduler, optimiser(), epochs=epochs, lr=lr)
    return [schedule.set(epoch, 0, 1) for epoch in range(epochs)]


def test_without_stages_there_is_one_over_all_epochs():
    (span,) = TrainingConfig(epochs=7).spans
    assert (span.first, span.epochs, span.stage) == (0, 7, Stage())


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5), open_stage=st.integers(0, 4))
def test_stages_follow_each_other_over_all_epochs_and_an_open_one_takes_the_rest(lengths, open_stage):
    stages = [Stage(epochs=None if number == open_stage else n) for number, n in enumerate(lengths)]
    spans = spans_of(stages, sum(lengths))
    epochs = [span.first + epoch for span in spans for epoch in range(span.epochs)]
    assert epochs == list(range(sum(lengths)))
    assert [span.epochs for span in spans] == lengths


@pytest.mark.parametrize(
    ("stages", "found"),
    [
        ([{"epochs": 2}, {"epochs": 3}], "found 5 with epochs 6"),
        ([{"epochs": 4}, {"epochs": 3}], "found 7 with epochs 6"),
        ([{"epochs": 6}, {}], "found 6 and one open with epochs 6"),
        ([{}, {"epochs": 3}, {}], "epochs may be left out of one stage, found 2 without"),
    ],
)
def test_stages_that_do_not_add_up_are_refused(stages, found):
    with pytest.raises(ValidationError, match=found):
        TrainingConfig.model_validate({"epochs": 6, "stages": stages})


@given(first=st.integers(1, 5), second=st.integers(1, 5))
@settings(deadline=None)  # the first optimiser of a process takes PyTorch two seconds
def test_stages_without_a_schedule_of_their_own_share_trainings(first, second):
    staged = TrainingConfig(epochs=first + second, stages=(Stage(epochs=first), Stage(rows="high")))
    assert rates(staged) == plain(Cosine(), first + second)


def test_a_pre_training_has_its_own_rate_and_trainings_schedule_starts_after_it():
    config = TrainingConfig(
        epochs=16, scheduler=Cosine(eta_min=1e-7), stages=(Stage(epochs=2, lr=1e-5, scheduler=Constant()), Stage())
    )
    assert rates(config) == [1e-5, 1e-5, *plain(Cosine(eta_min=1e-7), 14)]


def test_a_stage_with_a_rate_alone_runs_trainings_kind_of_schedule_anew():
    config = TrainingConfig(epochs=15, stages=(Stage(epochs=5), Stage(lr=1e-4)))
    assert rates(config) == [*plain(Cosine(), 5), *plain(Cosine(), 10, lr=1e-4)]


def test_a_stage_with_a_schedule_alone_starts_from_the_optimisers_rate():
    config = TrainingConfig(epochs=6, stages=(Stage(epochs=3), Stage(scheduler=OneCycle())))
    assert rates(config) == [*plain(Cosine(), 3), *plain(OneCycle(), 3)]


def test_a_plateau_hears_of_its_own_stages_only():
    plateau = Plateau(factor=0.5, patience=0)
    config = TrainingConfig(
        epochs=6, scheduler=plateau, stages=(Stage(epochs=3), Stage(epochs=3, lr=1.0, scheduler=plateau))
    )
    losses = [1.0, 1.0, 1.0, 9.0, 9.0, 8.0]
    assert rates(config, losses) == [BASE, BASE, BASE / 2, 1.0, 1.0, 0.5]


def test_a_warm_up_must_end_before_its_own_stages_do():
    warm = Cosine(warmup_epochs=2)
    with pytest.raises(ValidationError, match=r"stages\.1: scheduler\.warmup_epochs must be below epochs, found 2"):
        TrainingConfig(epochs=8, stages=(Stage(epochs=6), Stage(epochs=2, scheduler=warm)))
    with pytest.raises(ValidationError, match=r"stages\.0: training's scheduler\.warmup_epochs .* with epochs 1"):
        TrainingConfig(epochs=8, scheduler=warm, stages=(Stage(epochs=1, lr=0.1), Stage()))
    with pytest.raises(ValidationError, match="found 2 with epochs 2"):
        TrainingConfig(epochs=8, scheduler=warm, stages=(Stage(epochs=6, lr=0.1, scheduler=Cosine()), Stage()))
    TrainingConfig(epochs=8, scheduler=Cosine(warmup_epochs=5), stages=(Stage(epochs=4), Stage()))


def test_a_stage_chooses_by_stratum_and_by_votes():
    votes, high = np.array([1, 7, 21, 10, 15]), np.array([False, False, False, True, True])
    chosen = {
        ("all", 1): [0, 1, 2, 3, 4],
        ("high", 1): [3, 4],
        ("low", 1): [0, 1, 2],
        ("all", 6): [1, 2, 3, 4],
        ("high", 12): [4],
    }
    for (rows, least), expected in chosen.items():
        assert np.flatnonzero(Stage(rows=rows, min_votes=least).contains(votes, high)).tolist() == expected


def test_a_constant_rate_of_swa_takes_the_stages_place():
    config = TrainingConfig.model_validate(
        {"epochs": 6, "stages": [{"epochs": 2, "lr": 1e-5}, {}], "swa": {"start": 3, "lr": 0.5}}
    )
    schedule = StagedSchedule(config.spans, config.scheduler, optimiser(), swa=config.swa)
    seen = [schedule.set(epoch, 0, 1) for epoch in range(6)]
    assert seen == [*plain(Cosine(), 2, lr=1e-5), plain(Cosine(), 4)[0], 0.5, 0.5, 0.5]


def test_an_optimiser_begins_afresh_where_its_stage_says_so():
    spans = TrainingConfig.model_validate(
        {"epochs": 6, "stages": [{"epochs": 2}, {"epochs": 1, "fresh_optimiser": True}, {"fresh_optimiser": False}]}
    ).spans
    assert [begins_afresh(spans, epoch) for epoch in range(6)] == [False, False, True, False, False, False]


def test_a_stage_with_a_fresh_optimiser_is_a_training_of_its_own(store, batches):
    def trained(model, **options):
        config = TrainingConfig.model_validate({"scheduler": {"name": "constant"}, **options})
        return fit(model, batches(store, np.arange(36)), batches(store, np.arange(36, 48)), config, slot=Slot(0)).value

    def network():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 6))

    one_by_one = network()
    trained(one_by_one, epochs=2)
    expected = trained(one_by_one, epochs=1)
    stages = [{"epochs": 2}, {"epochs": 1, "fresh_optimiser": True}]
    assert trained(network(), epochs=3, stages=stages) == expected
    assert trained(network(), epochs=3) != expected
