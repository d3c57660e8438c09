"""The device that networks run on."""

import torch

from hms_search.errors import ConfigError


def device_of(name: str) -> torch.device:
    """Return the device a user named, ``auto``: CUDA where there is one, else the CPU.

    Raises ConfigError where the name is none, or this machine does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"expected a device such as auto, cpu, cuda or cuda:1, found {name!r}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name}: found {torch.cuda.device_count()} CUDA devices; write device: auto or cpu")
    return device
