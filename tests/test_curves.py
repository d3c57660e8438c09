"""The learning-curve picture."""

import math
from io import BytesIO
from time import perf_counter

import matplotlib.image
import numpy as np
import pytest

from hms_search.curves import learning_curve
from hms_search.training.results import Epoch


def epochs(n_folds: int, n_epochs: int, *, worst: float = 0.0) -> list[Epoch]:
    return [
        Epoch(
            fold=3 + fold, position=fold, epoch=epoch, epochs=n_epochs, value=worst or 1 / (1 + epoch) + 0.1 * fold,
            train_loss=0.9 / (1 + epoch), metrics={}, seconds=1.0, lr=1e-3,
        )
        for fold in range(n_folds)
        for epoch in range(n_epochs)
    ]  # fmt: skip


def colours(png: bytes) -> set[tuple[int, ...]]:
    pixels = (matplotlib.image.imread(BytesIO(png), format="png")[..., :3] * 255).round().astype(int)
    assert pixels.shape == (400, 640, 3)
    return {tuple(map(int, pixel)) for pixel in np.unique(pixels.reshape(-1, 3), axis=0)}


def test_each_fold_has_a_colour_of_its_own() -> None:
    blue, orange = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    assert blue in colours(learning_curve(epochs(1, 3), title="study trial 0"))
    assert orange not in colours(learning_curve(epochs(1, 3), title="study trial 0"))
    assert {blue, orange} <= colours(learning_curve(epochs(2, 3), title="study trial 0"))


@pytest.mark.parametrize("worst", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("n_epochs", [1, 2, 40])
def test_any_curve_gives_a_picture(n_epochs: int, worst: float) -> None:
    assert colours(learning_curve(epochs(2, n_epochs, worst=worst), title="a $ tricky_title"))


def test_a_picture_takes_less_than_a_fifth_of_a_second() -> None:
    seconds = []
    for number in range(5):
        started = perf_counter()
        learning_curve(epochs(2, 2), title=f"study trial {number}")
        seconds.append(perf_counter() - started)
    assert min(seconds) < 0.2  # 0.07 s on an idle core
