"""Any timm image network, from one-channel images to six logits."""

from difflib import get_close_matches
from typing import Literal, Self

import timm
from pydantic import Field, field_validator, model_validator

from hms_search.component import Component


class TimmImage(Component):
    """A timm network by name, with one input channel and six classes.

    Attributes
    ----------
    backbone
        A name of ``timm.list_models()``, with a pretrained tag if wanted: ``efficientnet_b1.ft_in1k``.
    weights
        ``none``: random. ``imagenet``: timm's, from the Hugging Face hub or its cache. ``auto``: ``imagenet`` where it
        can be had, else ``none``; settled once by :func:`resolve_weights`. Else the path of a .safetensors file.
    dropout
        Probability of dropping a feature before the classifier (timm's ``drop_rate``).
    drop_path
        Probability of skipping the deepest residual block (timm's ``drop_path_rate``: stochastic depth).
    """

    name: Literal["timm"] = "timm"
    backbone: str = "efficientnet_b1"
    weights: str = "none"
    dropout: float = Field(0.0, ge=0, lt=1)
    drop_path: float = Field(0.0, ge=0, lt=1)

    @field_validator("backbone")
    @classmethod
    def _is_known(cls, backbone: str) -> str:
        architecture, _, tag = backbone.partition(".")
        if not timm.is_model(architecture):
            close = get_close_matches(architecture, timm.list_models(), n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "see timm.list_models()"
            raise ValueError(f"expected the name of a timm network, found {backbone!r}; {hint}")
        tags = [name.partition(".")[2] for name in timm.list_pretrained(architecture)]
        if tag and tag not in tags:
            raise ValueError(f"{architecture} has no pretrained tag {tag!r}; it has {', '.join(tags) or 'none'}")
        return backbone

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        if self.weights not in {"none", "imagenet", "auto"} and not self.weights.endswith(".safetensors"):
            raise ValueError(
                f"weights must be none, imagenet, auto or the path of a .safetensors file, found {self.weights!r}"
            )
        if self.weights == "imagenet" and not timm.is_model_pretrained(self.backbone):
            raise ValueError(f"timm has no pretrained weights for {self.backbone}; write weights: none, or a file")
        return self


def resolve_weights(model: TimmImage) -> TimmImage:
    """Return the model with ``auto`` weights settled."""
    return model
