"""The deletion test: whether a class loses more by what Grad-CAM highlights than by any other part of the input."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hms_search.eeg.shapes import Kind
from hms_search.explain.grad_cam import Chosen, choose, grad_cam
from hms_search.inference.predictor import Predictor, Recording

_SHARE, _DRAWS = 0.1, 10


@dataclass(frozen=True, eq=False)
class Deletion:
    """By how much the class's logit falls where a part of the input becomes the mean of its channel.

    Attributes
    ----------
    highlighted
        The part that Grad-CAM highlights.
    moved
        The same part moved to a random place, around the edges: as large, with as many edges of its own. One value per
        draw.
    scattered
        As many places, drawn one by one. One value per draw.
    """

    highlighted: float
    moved: Float[np.ndarray, " draws"]
    scattered: Float[np.ndarray, " draws"]

    @property
    def passed(self) -> bool:
        """Whether the highlighted part lowers the score more than random ones do, on average over the draws."""
        return self.highlighted > max(float(self.moved.mean()), float(self.scattered.mean()))


def deletion_test(
    predictor: Predictor,
    recording: Recording,
    rng: np.random.Generator,
    *,
    class_index: int,
    member: int = 0,
    kind: Kind | None = None,
) -> Deletion:
    """Return what a class loses by the most highlighted tenth of the input, and by ten random tenths of either sort.

    Arguments and errors are those of :func:`hms_search.explain.grad_cam.grad_cam`.
    """
    explanation = grad_cam(predictor, recording, class_index=class_index, member=member, kind=kind)
    chosen = choose(predictor, recording, member=member, kind=kind)
    highlighted = _most(explanation.map, rng)
    whole = _score(chosen, chosen.image, class_index)

    def fall(part: Bool[np.ndarray, "height width"]) -> float:
        return whole - _score(chosen, without(chosen.image, part), class_index)

    moved = [tuple(int(rng.integers(side)) for side in highlighted.shape) for _ in range(_DRAWS)]
    return Deletion(
        highlighted=fall(highlighted),
        moved=np.array([fall(np.roll(highlighted, shift, axis=(0, 1))) for shift in moved]),
        scattered=np.array([fall(_shuffled(highlighted, rng)) for _ in range(_DRAWS)]),
    )


def without(
    image: Float[Tensor, "1 channel height width"], part: Bool[np.ndarray, "height width"]
) -> Float[Tensor, "1 channel height width"]:
    """Return an image with the places of a part set to the mean of their channel."""
    return torch.where(torch.from_numpy(part).to(image.device), image.mean(dim=(2, 3), keepdim=True), image)


def _most(places: Float[np.ndarray, "height width"], rng: np.random.Generator) -> Bool[np.ndarray, "height width"]:
    """Return the highest places of a map, those of one value in random order."""
    count = max(1, round(_SHARE * places.size))
    order = np.lexsort((rng.random(places.size), -places.ravel()))
    part = np.zeros(places.size, dtype=bool)
    part[order[:count]] = True
    return part.reshape(places.shape)


def _shuffled(part: Bool[np.ndarray, "height width"], rng: np.random.Generator) -> Bool[np.ndarray, "height width"]:
    return rng.permutation(part.ravel()).reshape(part.shape)


def _score(chosen: Chosen, image: Tensor, class_index: int) -> float:
    inputs = image if chosen.kind is None else {**chosen.inputs, chosen.kind: image}  # type: ignore[dict-item]
    with torch.inference_mode():
        return float(chosen.network(inputs)[0, class_index])
