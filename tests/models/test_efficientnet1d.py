import pytest
import timm
import torch
from torch import Tensor, nn

from hms_search.eeg.montage import Bipolar
from hms_search.eeg.shapes import ImageShape
from hms_search.models import EfficientNet1d

CHAINS = ImageShape(1, (16, 1920))


def planes_of(network: nn.Module, x: Tensor, layer: str) -> Tensor:
    seen: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[2]))
    network(x)
    hook.remove()
    return seen[0]


def test_positions_are_channels_chains_are_rows_and_only_time_is_shortened() -> None:
    network = EfficientNet1d().build(CHAINS)
    stem = network.stem[0]  # type: ignore[index]
    assert stem.weight.shape == (16, 4, 1, 3)
    x = torch.randn(2, 1, 16, 1920)
    assert planes_of(network, x, "stem").shape == (2, 16, 4, 960)
    assert planes_of(network, x, "head").shape == (2, 640, 4, 60)
    pooled = planes_of(network, x, "pool")
    assert pooled.shape == (2, 640, 1, 1)


def test_at_full_size_it_is_efficientnet_b0_with_narrower_kernels() -> None:
    network = EfficientNet1d(width=1.0, depth=1.0, across=3).build(CHAINS)
    image = timm.create_model("efficientnet_b0", in_chans=4, num_classes=6)

    def widths(model: nn.Module) -> list[tuple[int, int]]:
        convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
        return [layer.weight.shape[:2] for layer in convolutions if layer.bias is None]

    assert widths(network) == widths(image)


def test_the_montage_with_chains_one_after_the_other_suits_it() -> None:
    chains = Bipolar(name="double_banana_16").chains
    assert [len(chain) for chain in chains] == [4, 4, 4, 4]
    assert [place for chain in chains for place in chain] == list(range(16))


def test_without_kernels_across_chains_their_order_does_not_matter() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 1, 16, 320)
    reversed_chains = x.unflatten(2, (4, 4)).flip(2).flatten(2, 3)
    apart = EfficientNet1d(across=1).build(CHAINS)
    torch.testing.assert_close(apart(reversed_chains), apart(x), rtol=1e-4, atol=1e-5)
    mixed = EfficientNet1d(across=3).build(CHAINS)
    assert not torch.allclose(mixed(reversed_chains), mixed(x), rtol=1e-3, atol=1e-4)


def test_drop_path_grows_with_depth_and_leaves_the_first_blocks_alone() -> None:
    network = EfficientNet1d(drop_path=0.2, depth=1.0).build(CHAINS)
    rates = [layer.drop_prob for layer in network.modules() if type(layer).__name__ == "DropPath"]
    assert rates == sorted(rates)
    assert 0 < rates[0] < rates[-1] <= 0.2


def test_signals_that_are_no_whole_chains_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes 4 chains of equal length, found 18 signals; .*montage"):
        EfficientNet1d().check(ImageShape(1, (18, 2000)))
    EfficientNet1d(chains=6).check(ImageShape(1, (24, 2000)))
