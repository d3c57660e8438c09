from collections.abc import Callable

import pytest
import torch

from hms_search.errors import TrainingError, TrialStopped
from hms_search.training.own_random import OwnRandom
from hms_search.training.results import Epoch, ignore
from hms_search.training.steps import Steps
from hms_search.training.turns import Training, in_turns

CPU = torch.device("cpu")


class Folds:
    """Trainings that draw a number per epoch and write down what becomes of them."""

    def __init__(self, n_folds: int = 2, epochs: int = 3, *, failing: tuple[int, int] | None = None) -> None:
        self.epochs, self.failing = epochs, failing
        self.log: list[str] = []
        self.trainings = [self.training(fold) for fold in range(n_folds)]

    def training(self, fold: int) -> Training[list[float]]:
        drawn: list[float] = []
        try:
            with OwnRandom(fold, CPU) as random:
                for number in range(self.epochs):
                    if (fold, number) == self.failing:
                        raise TrainingError("diverged")
                    drawn.append(float(torch.rand(())))
                    with random.away():
                        yield epoch(fold, number, self.epochs)
        except TrialStopped as stop:
            self.log.append(f"fold {fold} told it is {stop.reason} after {len(drawn)}")
            raise
        finally:
            self.log.append(f"fold {fold} closed")
        return drawn


def epoch(fold: int, number: int, epochs: int) -> Epoch:
    return Epoch(
        fold=fold, epoch=number, epochs=epochs, value=0.0, train_loss=0.0, metrics={}, seconds=0.0, lr=0.1, step=number
    )


def stop_at(step: int, reason: str = "paused") -> Callable[[Epoch], None]:
    def judge(epoch: Epoch) -> None:
        if epoch.step == step:
            raise TrialStopped(reason)  # type: ignore[arg-type]

    return judge


def test_epochs_come_in_the_order_of_the_steps_with_their_place() -> None:
    for order in ("sequential", "interleaved"):
        steps, seen = Steps(2, 3, order), []  # type: ignore[arg-type]
        in_turns(Folds().trainings, steps, lambda epoch, seen=seen: seen.append(epoch))
        assert [(epoch.position, epoch.epoch) for epoch in seen] == [steps.place(step) for step in range(6)]
        assert [epoch.step for epoch in seen] == list(range(6))
        assert all(epoch.fold == epoch.position for epoch in seen)


def test_a_fold_draws_the_same_numbers_alone_and_in_turns_and_leaves_those_outside_alone() -> None:
    def draw(_: Epoch) -> None:
        torch.rand(5)

    torch.manual_seed(9)
    before = torch.rand(3)
    torch.manual_seed(9)
    alone = in_turns(Folds().trainings, Steps(2, 3), ignore)
    assert torch.equal(torch.rand(3), before)
    assert in_turns(Folds().trainings, Steps(2, 3, "interleaved"), draw) == alone
    assert alone[0] != alone[1]


def test_a_fold_ends_before_the_next_begins_where_one_comes_after_the_other() -> None:
    folds = Folds()
    in_turns(folds.trainings, Steps(2, 3), lambda epoch: folds.log.append(f"fold {epoch.fold} epoch {epoch.epoch}"))
    assert folds.log.index("fold 0 closed") < folds.log.index("fold 1 epoch 0")


def test_every_fold_that_has_begun_is_told_of_a_stop_and_closed() -> None:
    folds = Folds(n_folds=3)
    with pytest.raises(TrialStopped, match="paused"):
        in_turns(folds.trainings, Steps(3, 3, "interleaved"), stop_at(4))
    assert [line for line in folds.log if "told" in line] == [
        "fold 0 told it is paused after 2",
        "fold 1 told it is paused after 2",
        "fold 2 told it is paused after 1",
    ]
    early = Folds()
    with pytest.raises(TrialStopped):
        in_turns(early.trainings, Steps(2, 3), stop_at(1))
    assert early.log == ["fold 0 told it is paused after 2", "fold 0 closed"]


def test_where_one_fold_fails_the_others_are_closed_and_the_random_numbers_outside_are_back() -> None:
    folds = Folds(failing=(1, 1))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(TrainingError, match="diverged"):
        in_turns(folds.trainings, Steps(2, 3, "interleaved"), ignore)
    assert sorted(folds.log) == ["fold 0 closed", "fold 1 closed"]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_that_does_not_end_with_its_last_epoch_is_a_fault() -> None:
    with pytest.raises(ValueError, match="no epoch after the last"):
        in_turns(Folds(epochs=4).trainings, Steps(2, 3), ignore)
