"""Grad-CAM of single networks equals captum's, and is taken where a network still has places."""

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from hms_search.eeg.shapes import ImageShape
from hms_search.errors import ConfigError
from hms_search.explain.planes import Recorder, activation_maps, scaled
from hms_search.models import EegCnn, Model, TimmImage

CASES: dict[str, tuple[Model, ImageShape, str]] = {
    "resnet18": (TimmImage(backbone="resnet18"), ImageShape(1, (96, 64)), "layer4"),
    "efficientnet_b0": (TimmImage(backbone="efficientnet_b0"), ImageShape(1, (96, 64)), "bn2"),
    "mobilenet": (TimmImage(backbone="mobilenetv3_small_050"), ImageShape(3, (96, 64)), "blocks"),
    "convnext": (TimmImage(backbone="test_convnext"), ImageShape(1, (96, 64)), "stages"),
    "eeg_cnn": (EegCnn(), ImageShape(3, (20, 24)), "blocks"),
}


def built(model: Model, shape: ImageShape) -> nn.Module:
    torch.manual_seed(0)
    return model.build(shape).eval()


def maps_of(network: nn.Module, x: torch.Tensor, class_index: int) -> torch.Tensor:
    recorder = Recorder(network)
    with recorder.recording():
        logits = network(x)
    return activation_maps(logits[0, class_index], [recorder.planes])[0]


@pytest.mark.parametrize("case", CASES)
def test_the_map_is_that_of_captum_at_the_last_planes(case: str) -> None:
    model, shape, layer = CASES[case]
    network = built(model, shape)
    x = torch.randn(1, shape.channels, *(shape.size or ()))
    reference = LayerGradCam(network, network.get_submodule(layer))
    expected = [reference.attribute(x, target=i, relu_attributions=True)[:, 0].detach() for i in range(6)]
    assert torch.stack(expected).any(), "maps of zeros would prove nothing"
    found = [maps_of(network, x, i) for i in range(6)]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_recording_leaves_no_hooks_and_no_gradients() -> None:
    model, shape, _ = CASES["eeg_cnn"]
    network = built(model, shape)
    maps_of(network, torch.randn(1, 3, 20, 24), 1)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_network_without_a_convolution_over_places_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten(), nn.Linear(4, 6))
    with pytest.raises(ConfigError, match="Sequential has none"):
        maps_of(network, torch.randn(1, 1, 8, 8), 0)


def test_a_map_where_nothing_speaks_for_a_class_stays_zero() -> None:
    torch.testing.assert_close(scaled(torch.zeros(3, 4)), torch.zeros(3, 4))
    torch.testing.assert_close(scaled(torch.tensor([[1.0, 4.0]])), torch.tensor([[0.25, 1.0]]))
