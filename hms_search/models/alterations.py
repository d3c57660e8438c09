"""What is changed in a timm network after timm has built it: the stride of its stem, and what it keeps in memory."""

from torch import nn

from hms_search.errors import ConfigError


def set_stem_stride(network: nn.Module, stride: tuple[int, int]) -> None:
    """Give the first convolution of a timm network another stride, down and across; its weights stay as they are.

    Raises ConfigError where timm names no first convolution, or the network needs images of a fixed size.
    """
    known = getattr(network, "pretrained_cfg", {})
    name = known.get("first_conv")
    layers = dict(network.named_modules())
    first = layers.get(name) if isinstance(name, str) else None
    if not isinstance(first, nn.Conv2d) or known.get("fixed_input_size"):
        found = "it needs images of a fixed size" if known.get("fixed_input_size") else f"its stem is {name!r}"
        raise ConfigError(
            f"stem_stride needs a network that starts with one convolution, found {_name(network)}: {found}; "
            "write stem_stride: null, or choose a convolutional network"
        )
    first.stride = stride


def checkpoint_stages(network: nn.Module) -> None:
    """Let a timm network compute its stages again for the gradient; raises ConfigError where it cannot."""
    switch = getattr(network, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError
        switch()
    except AssertionError:  # timm's way to say so
        raise ConfigError(
            f"{_name(network)} has no gradient checkpointing; write checkpointing: false, or choose another backbone"
        ) from None


def _name(network: nn.Module) -> str:
    return str(getattr(network, "pretrained_cfg", {}).get("architecture", type(network).__name__))
