"""OwnRandom: random numbers of PyTorch's that nothing else draws from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor


@dataclass(frozen=True)
class _State:
    cpu: Tensor
    cuda: Tensor | None


class OwnRandom:
    """A context in which PyTorch draws on the CPU and on ``device`` under a seed of its own.

    After it, and within :meth:`away`, the random numbers outside go on as if nothing had been drawn here. So several
    such contexts can take turns, each with the numbers that it would have alone.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device

    def __enter__(self) -> "OwnRandom":
        self._outside = self._state()
        torch.manual_seed(self._seed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore(self._outside)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Leave for a while."""
        own = self._state()
        self._restore(self._outside)
        try:
            yield
        finally:
            self._outside = self._state()
            self._restore(own)

    def _state(self) -> _State:
        cuda = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        return _State(torch.get_rng_state(), cuda)

    def _restore(self, state: _State) -> None:
        torch.set_rng_state(state.cpu)
        if state.cuda is not None:
            torch.cuda.set_rng_state(state.cuda, self._device)
