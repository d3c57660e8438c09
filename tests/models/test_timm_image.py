import logging
import time
from pathlib import Path

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from hms_search.eeg.shapes import ImageShape
from hms_search.errors import CheckpointError, ConfigError
from hms_search.models import TimmImage, resolve_weights, settled_weights


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that nothing answers at, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def test_dropout_and_drop_path_reach_the_network() -> None:
    network = TimmImage(backbone="efficientnet_b0", dropout=0.3, drop_path=0.2).build()
    assert network.drop_rate == 0.3
    rates = [module.drop_prob for module in network.modules() if type(module).__name__ == "DropPath"]
    assert 0 < max(rates) <= 0.2


def test_a_misspelt_backbone_is_refused_with_its_neighbours() -> None:
    with pytest.raises(ValidationError, match=r"found 'eficientnet_b1'; did you mean efficientnet_b1"):
        TimmImage(backbone="eficientnet_b1")
    with pytest.raises(ValidationError, match=r"resnet34d has no pretrained tag 'x'; it has .*ra2_in1k"):
        TimmImage(backbone="resnet34d.x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "weights.pt"}, "none, imagenet, package, auto or the path of a .safetensors file"),
        ({"backbone": "resnet10t.c3_in1k", "weights": "imagenet", "dropout": 1.0}, "less than 1"),
        ({"drop_path": -0.1}, "greater than or equal to 0"),
        ({"backbone": "vgg11", "pretrained": True}, "Extra inputs"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TimmImage.model_validate(options)


def test_imagenet_weights_are_refused_for_a_backbone_that_has_none() -> None:
    without = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
    with pytest.raises(ValidationError, match="timm has no pretrained weights"):
        TimmImage(backbone=without, weights="imagenet")


def test_a_backbone_without_stochastic_depth_says_so_only_when_it_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"densenet121 has no drop_path: write drop_path: 0"):
        TimmImage(backbone="densenet121", drop_path=0.1).build()
    TimmImage(backbone="densenet121").build()


def test_a_transformer_of_fixed_size_is_built_for_the_image() -> None:
    model = TimmImage(backbone="vit_tiny_patch16_224")
    assert model.build(ImageShape(1, (32, 64)))(torch.zeros(2, 1, 32, 64)).shape == (2, 6)
    with pytest.raises(ConfigError, match=r"set pipeline\.resize"):
        model.build()


FIXED = {"backbone": "vit_tiny_patch16_224"}


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"backbone": "densenet121", "drop_path": 0.1}, ImageShape(), "densenet121 has no drop_path: write drop_path"),
        ({"backbone": "vgg11", "checkpointing": True}, ImageShape(), "vgg11 has no gradient checkpointing"),
        ({**FIXED, "stem_stride": [1, 2]}, ImageShape(1, (32, 64)), "stem_stride needs a network that starts with one"),
        ({**FIXED, "pooling": {"name": "gem"}}, ImageShape(1, (32, 64)), "pooling: gem takes the place of a mean"),
        (FIXED, ImageShape(), "needs images of one size, found none"),
        (
            {"backbone": "crossvit_tiny_240"},
            ImageShape(1, (64, 64)),
            r"crossvit_tiny_240 cannot look at images of \[1, 64, 64\]: .*; choose another size",
        ),
    ],
)
def test_what_a_backbone_lacks_is_found_before_it_is_built(
    options: dict[str, object], shape: ImageShape, message: str
) -> None:
    model = TimmImage.model_validate(options)
    for _ in range(2):  # the second answer is remembered
        with pytest.raises(ValueError, match=message):
            model.check(shape)


def test_a_check_is_the_same_for_all_chances_of_dropping_but_none() -> None:
    one, other, none = (TimmImage(backbone="densenet121", drop_path=rate, dropout=rate) for rate in (0.1, 0.2, 0.0))
    assert one.outlined == other.outlined != none.outlined
    none.check(ImageShape())


def test_an_unreachable_hub_is_one_quick_error_with_the_remedy(no_hub: None) -> None:
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"neither in the local cache nor reachable .*; write weights: none, or"):
        TimmImage(backbone="resnet34d", weights="imagenet").build()
    assert time.perf_counter() - started < 10


def test_auto_is_settled_once_as_none_without_a_hub_and_said(no_hub: None, caplog: pytest.LogCaptureFixture) -> None:
    auto = TimmImage(backbone="resnet34d", weights="auto", dropout=0.1)
    with pytest.raises(ConfigError, match="auto must be settled"):
        auto.build()
    with caplog.at_level("INFO"):
        settled = settled_weights(auto, {})
    assert resolve_weights(auto, settled) == TimmImage(backbone="resnet34d", weights="none", dropout=0.1)
    assert "weights auto becomes none" in caplog.text


def test_auto_is_imagenet_where_the_cache_has_the_weights(no_hub: None, tmp_path: Path) -> None:
    hub_id = timm.get_pretrained_cfg("resnet10t").hf_hub_id
    folder = tmp_path / f"models--{hub_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    torch.manual_seed(0)
    source = timm.create_model("resnet10t")
    save_file(source.state_dict(), snapshot / "model.safetensors")
    model = TimmImage(backbone="resnet10t", weights="auto")
    model = resolve_weights(model, settled_weights(model, {}))
    assert model.weights == "imagenet"
    network = model.build()
    torch.testing.assert_close(network.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    torch.testing.assert_close(network.conv1[0].weight, source.conv1[0].weight.sum(dim=1, keepdim=True))


def test_a_file_of_a_three_channel_network_is_summed_over_its_channels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = timm.create_model("resnet18")
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    with caplog.at_level(logging.INFO):
        network = TimmImage(backbone="resnet18", weights=str(tmp_path / "weights.safetensors")).build()
    torch.testing.assert_close(network.conv1.weight, source.conv1.weight.sum(dim=1, keepdim=True))
    torch.testing.assert_close(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert network.fc.weight.shape == (6, 512)
    assert "its fc is another than ours, which starts from random weights" in caplog.text


def test_a_file_of_our_own_network_gives_the_same_logits(tmp_path: Path) -> None:
    source = TimmImage(backbone="resnet18").build().eval()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    network = TimmImage(backbone="resnet18", weights=str(tmp_path / "weights.safetensors")).build().eval()
    x = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(network(x), source(x))


def test_a_file_of_another_network_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet34").state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"layer1\.2\..* is not in the network; .* more; use one of"):
        TimmImage(backbone="resnet18", weights=str(tmp_path / "weights.safetensors")).build()


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*absent\.safetensors"):
        TimmImage(backbone="resnet18", weights=str(tmp_path / "absent.safetensors")).build()
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(CheckpointError, match=r"cannot read .*cut\.safetensors"):
        TimmImage(backbone="resnet18", weights=str(tmp_path / "cut.safetensors")).build()


def test_a_network_takes_as_many_channels_as_it_is_built_for(tmp_path: Path) -> None:
    model = TimmImage(backbone="test_resnet")
    assert model.build(ImageShape(4))(torch.zeros(2, 4, 32, 32)).shape == (2, 6)
    three = timm.create_model("test_resnet", in_chans=3, num_classes=1000)
    save_file(three.state_dict(), tmp_path / "three.safetensors")
    network = TimmImage(backbone="test_resnet", weights=str(tmp_path / "three.safetensors")).build(ImageShape(4))
    found, expected = network.conv1[0].weight, three.conv1[0].weight
    # timm repeats the filters over the channels and scales them: an equal input gives an equal sum
    torch.testing.assert_close(found.sum(dim=1), expected[:, [0, 1, 2, 0]].sum(dim=1) * 3 / 4)
