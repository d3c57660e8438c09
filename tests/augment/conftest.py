"""Batches and augmentations that the tests of ``augment`` share."""

from collections.abc import Callable

import pytest
import torch

from hms_search.augment import Images, Recordings

MakeRecordings = Callable[..., Recordings]
MakeImages = Callable[..., Images]


def labels(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(n, 6, generator=source).softmax(dim=1), 0.5 + torch.rand(n, generator=source)


@pytest.fixture
def recordings() -> MakeRecordings:
    def make(n: int = 6, *, n_times: int = 1000, n_rows: int = 30, seed: int = 0) -> Recordings:
        source = torch.Generator().manual_seed(seed)
        eeg = 50 * torch.randn(n, n_times, 20, generator=source)
        log_power = 2 * torch.randn(n, n_rows, 400, generator=source)
        return Recordings(eeg, log_power, *labels(n, seed))

    return make


@pytest.fixture
def images() -> MakeImages:
    def make(n: int = 6, *, channels: int = 2, height: int = 64, width: int = 48, seed: int = 0) -> Images:
        source = torch.Generator().manual_seed(seed)
        return Images(torch.randn(n, channels, height, width, generator=source), *labels(n, seed))

    return make
