import pytest
import torch
from torch import Tensor, nn

from hms_search.eeg.shapes import ImageShape
from hms_search.errors import ConfigError
from hms_search.models import TimmImage
from hms_search.models.alterations import checkpoint_stages, set_stem_stride

X = torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def first_maps(model: TimmImage) -> torch.Size:
    network = model.build(ImageShape(1, (64, 96)))
    seen: list[torch.Size] = []
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_hook(lambda *parts: seen.append(parts[2].shape))
    assert network.eval()(X).shape == (2, 6)
    return seen[0][2:]


@pytest.mark.parametrize(
    "backbone",
    ["efficientnet_b0", "tf_efficientnetv2_b0.in1k", "tf_efficientnet_lite0", "hgnetv2_b0", "resnet18", "resnet34d"],
)
def test_the_stem_strides_as_asked_and_keeps_its_weights(backbone: str) -> None:
    assert first_maps(TimmImage(backbone=backbone)) == (32, 48)
    assert first_maps(TimmImage(backbone=backbone, stem_stride=(1, 2))) == (64, 48)
    own, strided = (TimmImage(backbone=backbone, stem_stride=stride).build() for stride in (None, (1, 2)))
    strided.load_state_dict(own.state_dict())


def test_a_stem_that_cannot_stride_otherwise_says_so() -> None:
    fixed = r"starts with one convolution, found test_vit: it needs images of a fixed size; write stem_stride: null"
    with pytest.raises(ConfigError, match=fixed):
        TimmImage(backbone="test_vit", stem_stride=(1, 2)).build(ImageShape(1, (64, 64)))
    with pytest.raises(ConfigError, match="starts with one convolution, found Linear: its stem is None"):
        set_stem_stride(nn.Linear(2, 2), (1, 2))


@pytest.mark.parametrize("backbone", ["test_efficientnet", "resnet18", "hgnetv2_b0"])
def test_checkpointing_changes_no_gradient(backbone: str) -> None:
    gradients: list[dict[str, Tensor]] = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        network = TimmImage(backbone=backbone, drop_path=0.2, checkpointing=checkpointing).build()
        torch.manual_seed(1)
        network(X).square().sum().backward()
        gradients.append({name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_a_network_without_checkpointing_says_so() -> None:
    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match="vgg11 has no gradient checkpointing; write check"),
    ):
        TimmImage(backbone="vgg11", checkpointing=True).build()
    with pytest.raises(ConfigError, match="Linear has no gradient checkpointing"):
        checkpoint_stages(nn.Linear(2, 2))
