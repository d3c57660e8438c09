"""Number and memory formats of a training run: mixed precision and channels-last."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn, optim

from hms_search.errors import ConfigError

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """Runs a network in mixed precision and takes optimiser steps, with the loss scaled where float16 needs it."""

    def __init__(self, amp: Literal["auto", "off", "bfloat16", "float16"], device: torch.device) -> None:
        if amp == "auto":
            amp = "off" if device.type != "cuda" else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        if amp == "float16" and device.type != "cuda":
            raise ConfigError(f"training.amp: float16 needs a CUDA device, found {device.type}; write auto or bfloat16")
        self.name = amp
        self.autocast = torch.autocast(device.type, dtype=_DTYPES.get(amp, torch.bfloat16), enabled=amp != "off")
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp == "float16")

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to the parameters' gradients."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(
        self, optimiser: optim.Optimizer, parameters: Iterable[nn.Parameter], *, gradient_clip: float | None
    ) -> None:
        """Clip the gradient's norm if asked to, and update the parameters."""
        if gradient_clip is not None:
            self._scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(parameters, gradient_clip)
        self._scaler.step(optimiser)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return the state of the loss scaling; empty where there is none."""
        state: dict[str, Any] = self._scaler.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        if state:
            self._scaler.load_state_dict(state)


class UnderPrecision(nn.Module):
    """A network that runs in a precision wherever it is called."""

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self._precision = precision

    def forward(self, x: Any) -> Any:
        """Return the network's output."""
        with self._precision.autocast:
            return self.network(x)


def memory_format(channels_last: bool | Literal["auto"]) -> torch.memory_format:
    """Return the memory format of a network's weights."""
    return torch.contiguous_format if channels_last is False else torch.channels_last
