"""Every model. A configuration of the union builds an ``nn.Module`` from images to six logits."""

from hms_search.models.timm_image import TimmImage, resolve_weights
from hms_search.models.weights import save_weights

Model = TimmImage
"""Every model; a new one is a file here and its place in this union, told apart by ``name``."""

__all__ = ["Model", "TimmImage", "resolve_weights", "save_weights"]
