import pytest
import torch

from hms_search.eeg.shapes import ImageShape
from hms_search.models import TimmImage
from hms_search.models.backbone import feature_network
from hms_search.models.pooling import Gem

FAMILIES = ["test_resnet", "test_efficientnet", "hgnetv2_b2", "mobilenetv3_small_050", "test_convnext", "test_vit"]


@pytest.mark.parametrize("backbone", FAMILIES)
def test_features_are_what_the_classifier_of_the_whole_network_sees(backbone: str) -> None:
    shape = ImageShape(2, (64, 64))
    image = TimmImage(backbone=backbone)
    torch.manual_seed(0)
    whole, features = image.build(shape).eval(), feature_network(image, shape).eval()
    own = {f"network.{name}": value for name, value in whole.state_dict().items()}
    features.load_state_dict({name: own[name] for name in features.state_dict()})
    seen: list[torch.Tensor] = []
    whole.get_classifier().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(3, 2, 64, 64)
    whole(x)
    found = features(x)
    assert found.shape == (3, features.num_features)
    torch.testing.assert_close(found, seen[0])


def test_features_are_pooled_as_configured_and_none_is_dropped() -> None:
    network = feature_network(TimmImage(backbone="test_resnet", dropout=0.9, pooling=Gem()), ImageShape())
    features = network.train()(torch.rand(4, 1, 32, 32))
    assert (features > 0).all()  # the mean of nothing but zeros is the floor, not 0; a dropped feature is 0
