import pytest
import torch
from pydantic import ValidationError
from torch import nn

from hms_search.eeg.shapes import ImageShape
from hms_search.models import EegCnn

HACKATHON = ImageShape(3, (20, 24))


def test_the_hackathons_image_is_halved_three_times_and_then_classified() -> None:
    network = EegCnn().build(HACKATHON)
    kinds = [type(layer).__name__ for layer in network.modules() if not list(layer.children())]
    block = ["Conv2d", "LeakyReLU", "BatchNorm2d"]
    assert kinds == [*[*block, "MaxPool2d"] * 3, *block, "Dropout", "Linear"]
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [256 * 2 * 3]
    assert network(torch.randn(2, 3, 20, 24)).shape == (2, 6)


def test_options_reach_the_network() -> None:
    network = EegCnn(channels=(4, 8), kernel=5, slope=0.2, dropout=0.3).build(ImageShape(2, (9, 7)))
    assert [layer.weight.shape for layer in network.modules() if isinstance(layer, nn.Conv2d)] == [
        (4, 2, 5, 5),
        (8, 4, 5, 5),
    ]
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.3]
    assert network(torch.randn(2, 2, 9, 7)).shape == (2, 6)


def test_an_image_that_the_pooling_would_use_up_is_refused() -> None:
    EegCnn().check(ImageShape(1, (8, 8)))
    with pytest.raises(ValueError, match=r"halves its image 3 times: expected 8 x 8 or more, found \[3, 20, 7\]"):
        EegCnn().check(ImageShape(3, (20, 7)))
    with pytest.raises(ValueError, match=r"fixed size, found \[1, height, width\]; set pipeline\.resize"):
        EegCnn().check(ImageShape())


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValidationError, match="kernel must be odd, found 4"):
        EegCnn(kernel=4)
