import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hms_search.eeg.shapes import ImageShape
from hms_search.errors import CheckpointError, ConfigError
from hms_search.models import TimmImage
from hms_search.models.pooling import Attention, AttentionPool, Average, Gem, GeneralisedMean, Pooling

FAMILIES = [
    "test_resnet",
    "test_efficientnet",
    "hgnetv2_b0",
    "mobilenetv3_small_050",
    "test_convnext",
    "efficientvit_b0",
]


def maps(seed: int = 0) -> Tensor:
    return torch.rand(2, 5, 4, 3, generator=torch.Generator().manual_seed(seed)) + 0.1


def test_the_generalised_mean_of_power_1_is_the_mean_and_of_a_high_power_the_maximum() -> None:
    x = maps()
    torch.testing.assert_close(GeneralisedMean(1.0, trainable=False)(x), x.mean(dim=(2, 3), keepdim=True))
    torch.testing.assert_close(
        GeneralisedMean(400.0, trainable=False)(x.double()).float(), x.amax(dim=(2, 3), keepdim=True), rtol=0.02, atol=0
    )


def test_the_generalised_mean_of_power_3_is_its_formula_and_takes_what_is_negative_as_nothing() -> None:
    x = maps() - 0.5
    expected = (x.clamp(min=1e-6) ** 3).mean(dim=(2, 3)) ** (1 / 3)
    torch.testing.assert_close(GeneralisedMean(3.0, trainable=True)(x)[:, :, 0, 0], expected)


def test_the_power_of_the_generalised_mean_is_trained_only_where_asked_for() -> None:
    assert [weight.tolist() for weight in GeneralisedMean(3.0, trainable=True).parameters()] == [[3.0]]
    assert list(GeneralisedMean(3.0, trainable=False).parameters()) == []


def test_the_generalised_mean_is_right_in_half_precision() -> None:
    x = maps().mul(60)  # 60^3 is beyond float16
    pooled = GeneralisedMean(3.0, trainable=True)(x.half())
    assert pooled.dtype == torch.float16
    torch.testing.assert_close(pooled.float(), GeneralisedMean(3.0, trainable=True)(x), rtol=1e-3, atol=0)


def test_attention_over_equal_positions_is_their_value_and_its_mean_lies_between_the_extremes() -> None:
    pool = AttentionPool(5, hidden=8)
    constant = torch.randn(2, 5, 1, 1)
    torch.testing.assert_close(pool(constant.expand(2, 5, 4, 3)), constant)
    pooled = pool(maps())[:, :, 0, 0]
    assert (pooled > maps().amin(dim=(2, 3))).all()
    assert (pooled < maps().amax(dim=(2, 3))).all()


def test_attention_does_not_depend_on_where_a_position_is() -> None:
    pool = AttentionPool(5, hidden=8)
    torch.testing.assert_close(pool(maps().flip(2)), pool(maps()))


@pytest.mark.parametrize("pooling", [Gem(), Gem(trainable=False), Attention(hidden=8)])
@pytest.mark.parametrize("backbone", FAMILIES)
def test_a_pooling_takes_the_place_of_the_mean_in_every_family(backbone: str, pooling: Pooling) -> None:
    network = TimmImage(backbone=backbone, pooling=pooling).build(ImageShape(1, (64, 32)))
    assert not any(isinstance(layer, nn.AdaptiveAvgPool2d) for layer in network.modules())
    assert network(torch.randn(2, 1, 64, 32)).shape == (2, 6)


def test_the_average_leaves_a_network_as_timm_makes_it() -> None:
    torch.manual_seed(0)
    ours = TimmImage(backbone="test_resnet", pooling=Average()).build()
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", in_chans=1, num_classes=6)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)


def test_a_power_of_1_gives_the_logits_of_the_average_where_features_are_positive() -> None:
    torch.manual_seed(0)
    average = TimmImage(backbone="test_resnet").build().eval()
    gem = TimmImage(backbone="test_resnet", pooling=Gem(p=1, trainable=False)).build().eval()
    gem.load_state_dict(average.state_dict())
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(gem(x), average(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_a_network_without_a_mean_over_positions_refuses_another_pooling(backbone: str) -> None:
    with pytest.raises(ConfigError, match=r"pooling: gem takes the place of a mean .* write \{name: average\}"):
        TimmImage(backbone=backbone, pooling=Gem()).build(ImageShape(1, (64, 64)))


def test_weights_of_a_network_without_the_pooling_leave_it_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path_factory.mktemp("weights") / "average.safetensors"
    source = TimmImage(backbone="test_resnet").build()
    save_file(source.state_dict(), file)
    with caplog.at_level("INFO"):
        network = TimmImage(backbone="test_resnet", pooling=Gem(p=4), weights=str(file)).build()
    assert network.state_dict()["global_pool.pool.p"].tolist() == [4.0]
    torch.testing.assert_close(network.conv1[0].weight, source.conv1[0].weight)
    assert "its global_pool.pool is another than ours" in caplog.text
    save_file(network.state_dict(), file)
    with pytest.raises(CheckpointError, match=r"global_pool\.pool\.p is not in the network"):
        TimmImage(backbone="test_resnet", weights=str(file)).build()
