import pytest

from hms_search.component import Component
from hms_search.errors import CheckpointError
from hms_search.models import AttentionSpectrogram, TimmImage, architecture, resolve_weights, settled_weights


class Pair(Component):
    left: AttentionSpectrogram
    right: TimmImage | None = None


def pair(weights: str) -> Pair:
    return Pair(
        left=AttentionSpectrogram(image=TimmImage(backbone="resnet18", weights=weights)),
        right=TimmImage(backbone="tf_efficientnet_lite0", weights=weights, dropout=0.1),
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backbones whose ImageNet weights were asked for; none can be had but in packages."""
    backbones: list[str] = []

    def none(backbone: str) -> None:
        backbones.append(backbone)
        raise CheckpointError("no hub here")

    monkeypatch.setattr("hms_search.models.timm_image.imagenet_file", none)
    return backbones


def test_auto_is_settled_for_every_network_in_a_model_and_asked_once(asked: list[str]) -> None:
    settled = settled_weights(pair("auto"), {})
    assert settled == {"resnet18": "none", "tf_efficientnet_lite0": "package"}
    assert settled_weights(pair("auto"), settled) == settled
    assert asked == ["resnet18", "tf_efficientnet_lite0"]


def test_what_was_settled_before_stays(asked: list[str]) -> None:
    before = {"resnet18": "imagenet", "resnet34": "none"}
    assert settled_weights(pair("auto"), before) == {**before, "tf_efficientnet_lite0": "package"}
    assert settled_weights(pair("none"), before) == before
    assert asked == ["tf_efficientnet_lite0"]


def test_settled_weights_reach_every_network_that_left_them_open_and_nothing_else() -> None:
    settled = {"resnet18": "none", "tf_efficientnet_lite0": "none"}
    assert resolve_weights(pair("auto"), settled) == pair("none")
    assert resolve_weights(pair("imagenet"), settled) == pair("imagenet")
    assert resolve_weights(pair("auto"), {}) == pair("auto")


def test_an_architecture_has_no_first_weights_however_deep_they_lie() -> None:
    assert architecture(pair("imagenet")) == pair("none")
    alone = Pair(left=AttentionSpectrogram())
    assert architecture(alone) == alone
