"""Which first weights the timm networks within a model get, settled once where the user leaves it open."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

from hms_search.component import Component
from hms_search.models.timm_image import TimmImage

Whole = TypeVar("Whole", bound=Component)


def settled_weights(model: Component, settled: Mapping[str, str]) -> dict[str, str]:
    """Return how ``weights: auto`` is settled, by backbone: ``settled`` and what the model's networks add to it.

    One process settles them for a whole study, or trials would differ by the state of the network. ImageNet weights
    are downloaded to the local cache here.
    """
    result = dict(settled)
    for image in _images(model):
        if image.weights == "auto" and image.backbone not in result:
            result[image.backbone] = image.best_weights()
    return result


def is_settled(model: Component, settled: Mapping[str, str]) -> bool:
    """Say whether ``settled`` tells of all backbones of a model with ``weights: auto``."""
    return all(image.weights != "auto" or image.backbone in settled for image in _images(model))


def resolve_weights(model: Whole, settled: Mapping[str, str]) -> Whole:
    """Return the model with ``weights: auto`` as it was settled; a backbone that was not keeps ``auto``."""

    def resolved(image: TimmImage) -> TimmImage:
        known = image.weights == "auto" and image.backbone in settled
        return image.model_copy(update={"weights": settled[image.backbone]}) if known else image

    return with_images(model, resolved)


def architecture(model: Whole) -> Whole:
    """Return the model without first weights: what to build before trained weights are loaded."""
    return with_images(model, lambda image: image.model_copy(update={"weights": "none"}))


def with_images(model: Whole, change: Callable[[TimmImage], TimmImage]) -> Whole:
    """Return a model with its timm networks changed, however deep they lie in it."""
    if isinstance(model, TimmImage):
        return cast(Whole, change(model))
    parts = {name: part for name, part in vars(model).items() if isinstance(part, Component)}
    return model.model_copy(update={name: with_images(part, change) for name, part in parts.items()})


def _images(model: Component) -> Iterator[TimmImage]:
    if isinstance(model, TimmImage):
        yield model
    for part in vars(model).values():
        if isinstance(part, Component):
            yield from _images(part)
