"""Where each model has planes to explain it by, and how their places become those of its input.

Most networks keep the axes of their input, made coarser. Those of signals mix or move them: a signal may be a row of a
batch, a row of a spectrogram, or be mixed with the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hms_search.eeg.shapes import Kind
from hms_search.models import (
    AttentionSpectrogram,
    Braindecode,
    EegGru,
    EfficientNet1d,
    Model,
    Multimodal,
    StftImage,
    WaveNet,
)

Size = tuple[int, int]
Placed = Callable[[Sequence[Tensor], Size], Tensor]
"""From the Grad-CAM of each recorded part to ``[height, width]`` of the input."""


@dataclass(frozen=True)
class Branch:
    """The parts of a network whose planes explain it, and how their maps become one of the input's size."""

    roots: tuple[nn.Module, ...]
    placed: Placed


def branches_of(model: Model, network: nn.Module, kind: Kind | None) -> list[Branch]:
    """Return the branches of a network that look at a kind of recording; of one image: all."""
    if isinstance(model, Multimodal):
        spectrogram, stft, wavenet = network.branches  # type: ignore[misc]
        seen: dict[Kind, list[tuple[Model, nn.Module]]] = {
            "spectrogram": [(model.attention_spectrogram, spectrogram)],
            "eeg": [(model.stft_image, stft), (model.wavenet, wavenet)],
        }
        return [_branch(*each) for each in seen[kind or "eeg"]]
    return [_branch(model, network)]


def resized(
    places: Float[Tensor, "row column"], size: Size, *, nearest_row: bool = False
) -> Float[Tensor, "height width"]:
    """Return a map at the size of the input; ``nearest_row``: rows that are neighbours there are no neighbours."""
    x = rearrange(places, "row column -> 1 1 row column")
    if nearest_row:
        x = functional.interpolate(x, size=(size[0], x.shape[3]), mode="nearest")
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)[0, 0]


def _branch(model: Model, network: nn.Module) -> Branch:
    if isinstance(model, WaveNet):
        return Branch(tuple(network.stacks), _signals_apart)  # type: ignore[arg-type]
    if isinstance(model, StftImage):
        backbone = network.get_submodule("backbone")
        return Branch((backbone,), lambda maps, size: _from_spectrograms(model, maps[0], size))
    if isinstance(model, AttentionSpectrogram):
        return Branch((network.get_submodule("backbone"),), _slices_together)
    if isinstance(model, EegGru | Braindecode):
        stem = network.get_submodule("stem" if isinstance(model, EegGru) else "network")
        return Branch((stem,), _signals_mixed)
    chains = isinstance(model, EfficientNet1d)
    return Branch((network,), _signals_apart if chains else _slices_together)


def _slices_together(maps: Sequence[Tensor], size: Size) -> Float[Tensor, "height width"]:
    """Return the map of an image: of a network that sees its slices one by one, the sum over these."""
    return resized(maps[0].sum(dim=0), size)


def _signals_apart(maps: Sequence[Tensor], size: Size) -> Float[Tensor, "height width"]:
    """Return the map of signals that are rows of a batch, group after group, or chains of them rows of an image."""
    rows = torch.cat([rearrange(each, "... time -> (...) time") for each in maps])
    return resized(rows, size, nearest_row=True)


def _signals_mixed(maps: Sequence[Tensor], size: Size) -> Float[Tensor, "height width"]:
    """Return the map of signals that are mixed: the same for all, over time."""
    return resized(rearrange(maps[0].flatten(), "time -> 1 time"), size, nearest_row=True)


def _from_spectrograms(model: StftImage, maps: Tensor, size: Size) -> Float[Tensor, "height width"]:
    """Return the map of signals from that of the image of their spectrograms: the mean over the frequencies."""
    signals, times = size
    n_freq, frames = model.stft.forward(torch.zeros(1, 1, times), ()).shape[2:]
    image = resized(maps[0], (signals * n_freq // model.columns, model.columns * frames))
    rows = rearrange(image, "row (column frame) -> (row column) frame", column=model.columns)
    each = reduce(rows, "(signal freq) frame -> signal frame", "mean", signal=signals)
    return resized(each, size, nearest_row=True)
