"""Networks of the braindecode package, an optional extra, for EEG signals."""

from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import InputShape
from hms_search.errors import ConfigError
from hms_search.models.signals import signals_of


class Braindecode(Component):
    """A published network for decoding EEG as braindecode has it, an optional extra: ``hms-search[braindecode]``.

    A model of it cannot be exported as a bundle: Kaggle's notebooks have no braindecode.

    Attributes
    ----------
    network
        ``eegnet``: EEGNet, version 4 (https://arxiv.org/abs/1611.08024). ``shallow_fbcsp``: ShallowFBCSPNet, a filter
        bank and common spatial patterns as a network (https://arxiv.org/abs/1703.05051).
    kernel
        Length of the temporal filters in samples; null: the network's own, 64 (at 128 Hz) and 25 (at 250 Hz).
    dropout
        Probability of dropping a feature; null: the network's own, 0.25 and 0.5.
    """

    name: Literal["braindecode"] = "braindecode"
    network: Literal["eegnet", "shallow_fbcsp"] = "eegnet"
    kernel: int | None = Field(None, ge=1)
    dropout: float | None = Field(None, ge=0, lt=1)

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is signals that survive the network's pooling."""
        _, times = signals_of(self.name, shape)
        # what is left for the last layer: EEGNet pools by 4 and 8, ShallowFBCSPNet over 75 samples after its filters
        least = 28 if self.network == "eegnet" else 74 + (self.kernel or 25)
        if times < least:
            raise ValueError(
                f"model {self.name}: {self.network} needs {least} samples or more, found {times}; "
                "set pipeline.resize to more of them, or leave it out"
            )

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, 1, signal, time] -> [batch, classes]`` logits.

        Raises ConfigError where braindecode is not installed.
        """
        signals, times = signals_of(self.name, shape)
        return _Network(self._built(n_chans=signals, n_times=times, n_outputs=classes, final_conv_length="auto"))

    def _built(self, **options: Any) -> nn.Module:
        try:
            from braindecode.models import EEGNetv4, ShallowFBCSPNet
        except ImportError:
            raise ConfigError(
                "model braindecode needs the package braindecode, found none; "
                'pip install "hms-search[braindecode]", or choose another model'
            ) from None
        if self.dropout is not None:
            options["drop_prob"] = self.dropout
        if self.kernel is not None:
            options["kernel_length" if self.network == "eegnet" else "filter_time_length"] = self.kernel
        if self.network == "eegnet":
            network: nn.Module = EEGNetv4(**options)
        else:
            network = ShallowFBCSPNet(**options, add_log_softmax=False)
            network.conv_time_spat = _Filters(network.conv_time_spat)  # type: ignore[arg-type]
        return network.train()  # ShallowFBCSPNet comes in evaluation mode


class _Network(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch classes"]:
        signals = rearrange(x, "batch 1 signal time -> batch signal time")
        # In bfloat16 on a CPU, PyTorch 2.15 never comes back from EEGNet's depthwise kernel of 16, channels last.
        device = x.device.type
        with torch.autocast(device, enabled=torch.is_autocast_enabled(device) and device != "cpu"):
            logits: Tensor = self.network(signals)
        return logits


class _Filters(nn.Module):
    """Filters in time and then in space, which braindecode merges into one: a third of the time, half the memory.

    They are applied apart where hooks may look at them (Grad-CAM): in an evaluated network with a gradient.
    """

    def __init__(self, merged: nn.Module) -> None:
        super().__init__()
        self.merged = merged

    def forward(self, x: Float[Tensor, "batch 1 time signal"]) -> Float[Tensor, "batch filter time2 1"]:
        if self.training or not torch.is_grad_enabled():
            filtered: Tensor = self.merged(x)
        else:
            filtered = self.merged.conv_spat(self.merged.conv_time(x))  # type: ignore[operator]
        return filtered
