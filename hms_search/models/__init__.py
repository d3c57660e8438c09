"""Every model. A configuration of the union builds an ``nn.Module`` from images to six logits."""

from typing import Annotated

from hms_search.component import Field
from hms_search.models.attention_spectrogram import AttentionSpectrogram
from hms_search.models.braindecode import Braindecode
from hms_search.models.eeg_cnn import EegCnn
from hms_search.models.eeg_gru import EegGru
from hms_search.models.efficientnet1d import EfficientNet1d
from hms_search.models.multimodal import Multimodal
from hms_search.models.parameter_names import parameter_names
from hms_search.models.pretrained import architecture, is_settled, resolve_weights, settled_weights
from hms_search.models.stft_image import StftImage
from hms_search.models.timm_image import TimmImage
from hms_search.models.wavenet import WaveNet
from hms_search.models.weights import save_weights

Model = Annotated[
    TimmImage
    | WaveNet
    | StftImage
    | AttentionSpectrogram
    | Multimodal
    | EegCnn
    | EfficientNet1d
    | EegGru
    | Braindecode,
    Field(discriminator="name"),
]
"""Every model; a new one is a file here and its place in this union, told apart by ``name``."""

__all__ = [
    "AttentionSpectrogram",
    "Braindecode",
    "EegCnn",
    "EegGru",
    "EfficientNet1d",
    "Model",
    "Multimodal",
    "StftImage",
    "TimmImage",
    "WaveNet",
    "architecture",
    "is_settled",
    "parameter_names",
    "resolve_weights",
    "save_weights",
    "settled_weights",
]
