"""Grad-CAM: which places of a network's input speak for a class."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.backends import cudnn

from hms_search.eeg.both_pipeline import BothPipeline
from hms_search.eeg.pipelines import FittedPipeline, Inputs
from hms_search.eeg.shapes import KINDS, Kind
from hms_search.errors import ConfigError
from hms_search.explain.axes import Panel, panels_of
from hms_search.explain.places import branches_of
from hms_search.explain.planes import Recorder, activation_maps, scaled
from hms_search.inference.predictor import Predictor, Recording
from hms_search.models import Model

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a network looked at in one recording for one class.

    Attributes
    ----------
    map
        How much each place of the input speaks for the class, in [0, 1]; all 0 where none does.
    image
        The input as the network saw it.
    panels
        The parts of the input with their axes: one, but of an image that joins spectrogram and EEG two.
    network
        Which network it was: the model's name and the network's file.
    probability
        What this network gives the class.
    """

    map: Float[np.ndarray, "height width"]
    image: Float[np.ndarray, "channel height width"]
    panels: tuple[Panel, ...]
    class_index: int
    class_name: str
    network: str
    probability: float


class Chosen(NamedTuple):
    """One network of a predictor, and what it is to look at."""

    name: str
    model: Model
    network: nn.Module
    pipeline: FittedPipeline
    inputs: Inputs
    kind: Kind | None

    @property
    def image(self) -> Float[Tensor, "1 channel height width"]:
        """The image that is explained: the only one, or that of the chosen kind."""
        return self.inputs if self.kind is None else self.inputs[self.kind]  # type: ignore[index,return-value]


def grad_cam(
    predictor: Predictor, recording: Recording, *, class_index: int, member: int = 0, kind: Kind | None = None
) -> Explanation:
    """Return the Grad-CAM of a recording for a class, by the last convolution of one network.

    ``member`` is a network of a model, or a member of an ensemble, whose first network is asked; ``kind`` says which
    image of a network that has one of each: the EEG, unless said otherwise. A map of signals that are mixed before the
    last convolution is the same for all of them. Where branches look at one image, their maps count alike.

    Raises DataError for a recording that the predictor refuses, ConfigError for a class, member or kind that is not
    there or a network without a convolution.
    """
    chosen = choose(predictor, recording, member=member, kind=kind)
    with cudnn.flags(enabled=True, allow_tf32=False):  # as the Predictor runs it
        places, logits = class_map(
            chosen.model, chosen.network, chosen.inputs, class_index=class_index, kind=chosen.kind
        )
    length = len(recording["spectrogram"]) if "spectrogram" in recording else 0
    return Explanation(
        map=places.cpu().numpy(),
        image=chosen.image[0].cpu().numpy(),
        panels=panels_of(chosen.pipeline.config, (places.shape[0], places.shape[1]), length, chosen.kind),
        class_index=class_index,
        class_name=predictor.classes[class_index],
        network=chosen.name,
        probability=float(logits.double().softmax(dim=0)[class_index]),
    )


def class_map(
    model: Model, network: nn.Module, inputs: Inputs, *, class_index: int, kind: Kind | None = None
) -> tuple[Float[Tensor, "height width"], Float[Tensor, " classes"]]:
    """Return the map of an evaluated network for one input (a batch of one), and its logits; see :func:`grad_cam`."""
    branches = branches_of(model, network, kind)
    recorders = [Recorder(root) for branch in branches for root in branch.roots]
    with torch.enable_grad(), ExitStack() as stack:
        for recorder in recorders:
            stack.enter_context(recorder.recording())
        logits: Tensor = network(inputs)[0]
        if not 0 <= class_index < len(logits):
            raise ConfigError(f"expected class_index to be one of 0 to {len(logits) - 1}, found {class_index}")
        maps = iter(activation_maps(logits[class_index], [recorder.planes for recorder in recorders]))
    image = inputs[kind] if isinstance(inputs, dict) and kind else inputs
    assert isinstance(image, Tensor)  # an image of each kind comes with a kind
    size = image.shape[2], image.shape[3]
    placed = [scaled(branch.placed([next(maps) for _ in branch.roots], size)) for branch in branches]
    return scaled(torch.stack(placed).sum(dim=0)), logits.detach()


def choose(predictor: Predictor, recording: Recording, *, member: int, kind: Kind | None) -> Chosen:
    """Return the network that a member number means, and its input; raises as :func:`grad_cam` does."""
    predictor.check(recording)
    while predictor.members:
        predictor, member = _numbered(predictor.members, member), 0
    network, pipeline = _numbered(predictor.networks, member)
    file = predictor.card.networks[member]
    images = pipeline.inputs(predictor.tensors(recording))
    apart = isinstance(pipeline.config, BothPipeline) and pipeline.config.join == "apart"
    if kind is not None and kind not in pipeline.config.kinds:
        known = " and ".join(pipeline.config.kinds)
        raise ConfigError(f"model {predictor.card.name} looks at {known}, found kind {kind!r}; choose one of these")
    chosen = (kind or KINDS[0]) if apart else None
    return Chosen(f"{predictor.card.name}, {file.file}", file.model, network, pipeline, images, chosen)


def _numbered(parts: Sequence[T], number: int) -> T:
    if not 0 <= number < len(parts):
        raise ConfigError(f"expected member to be one of 0 to {len(parts) - 1}, found {number}")
    return parts[number]
