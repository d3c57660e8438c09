"""Where a network's first weights come from: timm's ImageNet weights, or a file of our own; and how they are loaded."""

import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import timm
import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from hms_search.data.atomic import replacing
from hms_search.errors import CheckpointError
from hms_search.models.pooling import pooling_layers

logger = logging.getLogger(__name__)

_PATIENCE_S = 5.0


def imagenet_file(backbone: str) -> Path:
    """Return the file of timm's pretrained weights, from the local cache or else downloaded there.

    Raises CheckpointError, within seconds, where the hub cannot be reached.
    """
    config = timm.get_pretrained_cfg(backbone)
    if config is not None and isinstance(config.hf_hub_id, str):
        names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
        return _from_hub(backbone, config.hf_hub_id, names)
    if config is not None and isinstance(config.url, str) and config.url:
        return _from_url(backbone, config.url)
    raise CheckpointError(f"timm has no pretrained weights for {backbone}; write model.weights: none, or a file")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a .safetensors file; raises CheckpointError where it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"model.weights: cannot read {path}: {error}; expected a .safetensors file") from None


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], origin: Path) -> None:
    """Give a timm network the weights that were read from a file.

    A first convolution over three channels is made one over the network's own number of them, as timm does; a
    classifier of other classes, or a pooling that the file does not know, is left as it was initialised, and logged.
    Raises CheckpointError listing what else does not fit.
    """
    own, weights = network.state_dict(), dict(weights)
    for layer in _layers(network, "first_conv"):
        key = f"{layer}.weight"
        if key in weights and key in own and weights[key].shape[1] == 3 != own[key].shape[1]:
            weights[key] = adapt_input_conv(own[key].shape[1], weights[key]).to(own[key].dtype)
    for layer in (*_layers(network, "classifier"), *pooling_layers(network)):
        ours, theirs = _shapes(own, layer), _shapes(weights, layer)
        if ours != theirs:
            logger.info("%s: its %s is another than ours, which starts from random weights", origin, layer)
            kept = {key: value for key, value in weights.items() if key not in theirs}
            weights = kept | {key: own[key] for key in ours}
    faults = _faults(own, weights)
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise CheckpointError(f"model.weights: {origin} does not fit the network: {shown}; use one of this backbone")
    network.load_state_dict(weights)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights to a .safetensors file, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, partial)


def _faults(own: dict[str, Tensor], weights: dict[str, Tensor]) -> list[str]:
    faults = [f"{key} is missing" for key in own if key not in weights]
    faults += [f"{key} is not in the network" for key in weights if key not in own]
    faults += [
        f"{key} expected {list(own[key].shape)}, found {list(weights[key].shape)}"
        for key in own
        if key in weights and own[key].shape != weights[key].shape
    ]
    return faults


def _shapes(weights: Mapping[str, Tensor], layer: str) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items() if key.startswith(f"{layer}.")}


def _layers(network: nn.Module, role: str) -> tuple[str, ...]:
    """Return the names timm gives for a network's ``first_conv`` or ``classifier``; some have several."""
    layers = getattr(network, "pretrained_cfg", {}).get(role) or ()
    return (layers,) if isinstance(layers, str) else tuple(layers)


def _from_hub(backbone: str, repository: str, names: list[str]) -> Path:
    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    _reach(constants.ENDPOINT, backbone)
    reasons = []
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except OSError as error:
            reasons.append(str(error).splitlines()[0])
    raise CheckpointError(_unreachable(backbone, f"{repository}: {'; '.join(reasons)}"))


def _from_url(backbone: str, url: str) -> Path:
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not target.is_file():
        _reach(url, backbone)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(target), progress=False)
        except OSError as error:
            raise CheckpointError(_unreachable(backbone, f"{url}: {error}")) from None
    return target


def _reach(url: str, backbone: str) -> None:
    """Raise CheckpointError unless the server answers soon; the hub's own client would retry for minutes."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_PATIENCE_S):
            return
    except HTTPError:
        return  # an answer
    except (URLError, TimeoutError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise CheckpointError(_unreachable(backbone, f"{url}: {reason}")) from None


def _unreachable(backbone: str, why: str) -> str:
    return (
        f"model.weights: imagenet weights of {backbone} are neither in the local cache nor reachable ({why}); "
        "write weights: none, or the path of a .safetensors file"
    )
