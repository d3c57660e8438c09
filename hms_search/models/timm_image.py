"""Any timm image network, from images to six logits."""

import logging
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import timm
import torch
from torch import nn

from hms_search.component import Component, Field, field_validator, model_validator
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import ImageShape, InputShape
from hms_search.errors import CheckpointError, ConfigError
from hms_search.models.alterations import checkpoint_stages, set_stem_stride
from hms_search.models.packaged import PACKAGED, package_file, package_weights
from hms_search.models.pooling import Average, Pooling, set_pooling
from hms_search.models.weights import imagenet_file, load_weights, read_weights

logger = logging.getLogger(__name__)

ONE_CHANNEL = ImageShape()
Stride = Annotated[int, Field(ge=1)]
_WORDS = ("none", "imagenet", "package", "auto")
_SUFFIX = ".safetensors"
_SOME_SIZE = (64, 64)
"""Of an image that only shows how many channels are pooled."""
_SOME_DROP_PATH = 0.5
_FIELDS = {"drop_path_rate": "drop_path", "drop_rate": "dropout", "in_chans": "number of input channels"}
_REMEDIES = {
    "drop_path": "write drop_path: 0, or choose a residual network",
    "dropout": "choose another backbone",
    "number of input channels": "choose another backbone",
}


class TimmImage(Component):
    """A timm network by name, with six classes and as many input channels as the pipeline's images have.

    Attributes
    ----------
    backbone
        A name of ``timm.list_models()``, with a pretrained tag if wanted: ``efficientnet_b1.ft_in1k``.
    weights
        ``none``: random. ``imagenet``: timm's, from the Hugging Face hub or its cache. ``package``: those of an
        installed package, for tf_efficientnet_lite0 to 2. ``auto``: ``imagenet`` where it can be had, else ``package``,
        else ``none``; settled once for a study. Else the path of a .safetensors file.
    dropout
        Probability of dropping a feature before the classifier (timm's ``drop_rate``).
    drop_path
        Probability of skipping the deepest residual block (timm's ``drop_path_rate``: stochastic depth).
    pooling
        How the last feature maps become a vector: ``average``, ``gem`` or ``attention``.
    stem_stride
        Stride of the first convolution down and across the image, in place of the network's own. The 15th place looks
        at its WaveNet images with (1, 2).
    checkpointing
        Whether stages are computed again for the gradient, which saves memory and costs one more pass. The running
        statistics of batch norm then take every batch twice.
    """

    name: Literal["timm"] = "timm"
    backbone: str = "efficientnet_b1"
    weights: str = "none"
    dropout: float = Field(0.0, ge=0, lt=1)
    drop_path: float = Field(0.0, ge=0, lt=1)
    pooling: Pooling = Average()
    stem_stride: tuple[Stride, Stride] | None = None
    checkpointing: bool = False

    @field_validator("backbone")
    @classmethod
    def _is_known(cls, backbone: str) -> str:
        architecture, _, tag = backbone.partition(".")
        if not timm.is_model(architecture):
            close = get_close_matches(architecture, timm.list_models(), n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "see timm.list_models()"
            raise ValueError(f"expected the name of a timm network, found {backbone!r}; {hint}")
        if tag and tag not in (tags := _pretrained_tags(architecture)):
            raise ValueError(f"{architecture} has no pretrained tag {tag!r}; it has {', '.join(tags) or 'none'}")
        return backbone

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        if self.weights not in _WORDS and not self.weights.endswith(_SUFFIX):
            raise ValueError(
                f"weights must be {', '.join(_WORDS)} or the path of a .safetensors file, found {self.weights!r}"
            )
        if self.weights == "imagenet" and not timm.is_model_pretrained(self.backbone):
            raise ValueError(f"timm has no pretrained weights for {self.backbone}; write weights: none, or a file")
        if self.weights == "package" and self.backbone.partition(".")[0] not in PACKAGED:
            raise ValueError(
                f"no package has weights of {self.backbone}; one has those of {', '.join(PACKAGED)}; "
                "choose one of them, or write weights: imagenet or none"
            )
        return self

    def best_weights(self) -> str:
        """Return what ``auto`` stands for: ``imagenet`` where they can be had, else ``package``, else ``none``; logged.

        ImageNet weights are downloaded to the local cache.
        """
        reasons = []
        for word, find in (("imagenet", imagenet_file), ("package", package_file)):
            try:
                logger.info("weights auto becomes %s: %s", word, find(self.backbone))
            except CheckpointError as error:
                reasons.append(str(error))
            else:
                return word
        logger.info("weights auto becomes none: %s", "; ".join(reasons))
        return "none"

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the network has all that is set, and can look at inputs of a shape.

        It is built and run for that, without values: a tenth of a second, once for all chances of dropping something.
        """
        if not isinstance(shape, ImageShape):
            raise ValueError(f"model {self.name} looks at one image, found {' and '.join(shape)} apart; join them")
        found = _misfit(self.outlined, shape)
        if found is not None:
            raise ValueError(found)

    @property
    def outlined(self) -> Self:
        """The network as far as its structure goes: networks that only learn otherwise have the same."""
        return self.model_copy(
            update={"weights": "none", "dropout": 0.0, "drop_path": _SOME_DROP_PATH if self.drop_path else 0.0}
        )

    def build(self, shape: InputShape = ONE_CHANNEL, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, channels, height, width] -> [batch, classes]`` logits; 0 classes: features.

        Random weights are drawn from PyTorch's global generator. Networks of a fixed size (many transformers) need the
        height and width of their input. Raises ConfigError where the backbone lacks an option or the input does not
        suit it, CheckpointError where weights cannot be had.
        """
        assert isinstance(shape, ImageShape)  # see check
        if self.weights == "auto":
            raise ConfigError("model.weights: auto must be settled before a network is built")
        network = self._created(shape, classes)
        if self.stem_stride is not None:
            set_stem_stride(network, self.stem_stride)
        if self.checkpointing:
            checkpoint_stages(network)
        set_pooling(network, self.pooling, torch.zeros(1, shape.channels, *(shape.size or _SOME_SIZE)))
        if self.weights == "package":
            weights = package_weights(self.backbone, network.state_dict())
            load_weights(network, weights, package_file(self.backbone))
        elif self.weights.endswith(_SUFFIX):
            load_weights(network, read_weights(Path(self.weights)), Path(self.weights))
        return network

    def _created(self, shape: ImageShape, classes: int) -> nn.Module:
        """Return what timm makes of the name and the options it knows."""
        options: dict[str, Any] = {"in_chans": shape.channels, "num_classes": classes, "drop_rate": self.dropout}
        if self.drop_path > 0:
            options["drop_path_rate"] = self.drop_path
        known = timm.get_pretrained_cfg(self.backbone)
        if known is not None and known.fixed_input_size:
            if shape.size is None:
                raise ConfigError(f"{self.backbone} needs images of one size, found none; set pipeline.resize")
            options["img_size"] = shape.size
        if self.weights == "imagenet":
            options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(imagenet_file(self.backbone))}}
        try:
            network: nn.Module = timm.create_model(self.backbone, **options)
        except TypeError as error:
            fields = [field for option, field in _FIELDS.items() if f"'{option}'" in str(error)]
            if not fields:
                raise
            raise ConfigError(f"{self.backbone} has no {fields[0]}: {_REMEDIES[fields[0]]}") from None
        return network


@cache
def _pretrained_tags(architecture: str) -> tuple[str, ...]:
    """Return the tags of a network's pretrained weights; timm looks through all its networks for them."""
    return tuple(name.partition(".")[2] for name in timm.list_pretrained(architecture))


@lru_cache(maxsize=512)
def _misfit(image: TimmImage, shape: ImageShape) -> str | None:
    """Return why a network cannot be built, or cannot look at images of a shape; None where it can."""
    try:
        with torch.device("meta"), torch.no_grad():  # shapes without values
            network = image.build(shape).eval()
            if shape.size is not None:
                network(torch.zeros(1, shape.channels, *shape.size))
    except ConfigError as error:
        return str(error)
    except (AssertionError, RuntimeError, ValueError) as error:  # what networks say of images that do not suit them
        reason = str(error).partition("\n")[0].rstrip(".")
        return (
            f"{image.backbone} cannot look at images of {shape}: {reason}; choose another size of the images "
            "(pipeline.resize) or another backbone"
        )
    return None
