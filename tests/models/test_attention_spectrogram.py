import pytest
import torch
from torch import Tensor, nn

from hms_search.eeg.shapes import ImageShape
from hms_search.models import AttentionSpectrogram, TimmImage

SMALL = AttentionSpectrogram(image=TimmImage(backbone="test_resnet", dropout=0.5), hidden=16)
SHAPE = ImageShape(10, (40, 60))


def built(model: AttentionSpectrogram = SMALL) -> nn.Module:
    torch.manual_seed(0)
    return model.build(SHAPE).eval()


def slices() -> Tensor:
    return torch.randn(2, 10, 40, 60, generator=torch.Generator().manual_seed(0))


def test_the_weights_of_the_slices_sum_to_1_and_are_those_of_the_features() -> None:
    network, x = built(), slices()
    weights = network.attention(x)
    assert weights.shape == (2, 10)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    alone = torch.stack([network.features(x[:, [i]]) for i in range(10)], dim=1)
    torch.testing.assert_close(network.features(x), (weights[:, :, None] * alone).sum(dim=1))


def test_the_order_of_the_slices_does_not_matter_and_moves_their_weights() -> None:
    network, x = built(), slices()
    torch.testing.assert_close(network(x.flip(1)), network(x))
    torch.testing.assert_close(network.attention(x.flip(1)), network.attention(x).flip(1))


def test_the_slices_share_one_network_of_one_channel() -> None:
    network = built()
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.shape[1] == 1
    assert network.num_features == 96
    assert network.classifier.weight.shape == (6, 96)


def test_dropout_comes_before_the_attention_and_within_it() -> None:
    x = slices()
    for model in (
        SMALL.model_copy(update={"attention_dropout": 0.0}),
        SMALL.model_copy(update={"image": TimmImage(backbone="test_resnet")}),
    ):
        network = built(model)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        assert not torch.equal(network(x), network(x))


def test_the_defaults_are_those_of_the_15th_place() -> None:
    network = AttentionSpectrogram().build(ImageShape(10, (100, 300)))
    assert network.num_features == 2048  # of hgnetv2_b2, after its last convolution
    assert network.scores.score[0].weight.shape == (2048, 2048)
    assert [layer.p for layer in (network.dropout, network.attention_dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("shape", [ImageShape(1, (40, 60)), {"eeg": SHAPE, "spectrogram": SHAPE}])
def test_an_input_that_is_no_slices_is_refused(shape: ImageShape) -> None:
    with pytest.raises(ValueError, match="expected an image of 2 channels or more, found"):
        SMALL.check(shape)
