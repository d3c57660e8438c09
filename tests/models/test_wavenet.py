import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from hms_search.eeg.shapes import ImageShape
from hms_search.models import TimmImage, WaveNet
from hms_search.models.wave_blocks import Improved, Starter
from hms_search.models.wavenet import as_image

TINY = TimmImage(backbone="test_resnet")
SEVEN, EIGHT = Improved(), Improved(count=8, channels=28)


def n_parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("blocks", "filters", "depths"),
    [
        (SEVEN, (4, 8, 12, 16, 20, 24, 24), (15, 12, 10, 8, 5, 3, 1)),
        (EIGHT, (4, 8, 12, 16, 20, 24, 28, 28), (15, 13, 11, 9, 7, 5, 3, 1)),
        (Starter(), (8, 16, 32, 64), (12, 8, 4, 1)),
    ],
)
def test_the_channels_and_layers_of_the_blocks_are_the_published_ones(
    blocks: Improved | Starter, filters: tuple[int, ...], depths: tuple[int, ...]
) -> None:
    assert blocks.filters == filters
    assert blocks.depths == depths
    built = [block for block in blocks.build() if not isinstance(block, nn.Conv1d)]
    assert [block.entry.in_channels for block in built] == [1, *filters[:-1]]
    assert [block.entry.out_channels for block in built] == list(filters)
    dilations = [[layer.dilated.dilation for layer in block.layers] for block in built]
    assert dilations == [[(2**i,) for i in range(depth)] for depth in depths]


def parameters_of_a_block(inputs: int, filters: int, depth: int, gates: int) -> int:
    """Weights and biases, counted from the description: an entry, then gates of three taps and one of one tap."""
    return filters * (inputs + 1) + depth * (gates * filters * (3 * filters + 1) + filters * (filters + 1))


@pytest.mark.parametrize(("blocks", "gates"), [(SEVEN, 3), (EIGHT, 3), (Starter(), 2)])
def test_the_blocks_have_the_parameters_of_separate_convolutions(blocks: Improved | Starter, gates: int) -> None:
    shapes = zip((1, *blocks.filters[:-1]), blocks.filters, blocks.depths, strict=True)
    last = blocks.filters[-1]
    downsampling = last * (last * blocks.downsample + 1) if blocks.downsample > 1 else 0
    assert n_parameters(blocks.build()) == sum(parameters_of_a_block(*one, gates) for one in shapes) + downsampling


def test_an_improved_block_is_three_gates_and_the_residual_of_its_entry() -> None:
    block, x = Improved(count=2, channels=6, layers=4).build()[0], torch.randn(2, 1, 50)
    entry = expected = block.entry(x)
    for i, layer in enumerate(block.layers):
        a, b, c = (
            functional.conv1d(expected, weight, bias, padding=2**i, dilation=2**i)
            for weight, bias in zip(layer.dilated.weight.split(6), layer.dilated.bias.split(6), strict=True)
        )
        expected = layer.mixed(torch.sigmoid(a) * torch.tanh(b) * functional.mish(c)) + entry
    torch.testing.assert_close(block(x), expected)


def test_a_starter_block_adds_up_what_its_layers_made() -> None:
    block, x = Starter(filters=(6,), depths=(4,)).build()[0], torch.randn(2, 1, 50)
    made = block.entry(x)
    expected = made
    for i, layer in enumerate(block.layers):
        a, b = (
            functional.conv1d(made, weight, bias, padding=2**i, dilation=2**i)
            for weight, bias in zip(layer.dilated.weight.split(6), layer.dilated.bias.split(6), strict=True)
        )
        made = layer.mixed(torch.tanh(a) * torch.sigmoid(b))
        expected = expected + made
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("blocks", [Improved(count=3, channels=6, layers=5), Starter(filters=(4, 6), depths=(5, 2))])
def test_layers_computed_twice_give_the_same_gradient(blocks: Improved | Starter) -> None:
    torch.manual_seed(0)
    once = blocks.build()
    twice = blocks.build(checkpointing=True)
    twice.load_state_dict(once.state_dict())
    x = torch.randn(3, 1, 100)
    for network in (once, twice):
        network(x).square().mean().backward()
    for one, other in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0)


@pytest.mark.parametrize(("blocks", "width"), [(SEVEN, 576), (EIGHT, 672)])
def test_the_channels_of_24_signals_are_an_image_of_2000_rows(blocks: Improved, width: int) -> None:
    with torch.device("meta"):  # shapes without the arithmetic
        network = WaveNet(blocks=blocks).build(ImageShape(1, (24, 10_000)))
        x = torch.zeros(2, 1, 24, 10_000)
    seen = []
    network.head.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    assert network.channels(x).shape == (2, 24, width // 24, 2000)
    assert network.features(x).shape == (2, 1280)
    assert network(x).shape == (2, 6)
    assert set(seen) == {(2, 1, 2000, width)}
    assert network.head.backbone.network.conv_stem.stride == (1, 2)


def test_the_last_two_channels_of_all_signals_lie_at_the_right_of_the_image() -> None:
    signals = torch.arange(3 * 5 * 2).reshape(1, 3, 5, 2).float()  # three signals, five channels, two times
    row = as_image(signals)[0, 0, 1]
    expected = [signals[0, s, c, 1] for s in range(3) for c in range(3)]
    expected += [signals[0, s, c, 1] for s in range(3) for c in (3, 4)]
    torch.testing.assert_close(row, torch.stack(expected))


def test_the_signals_of_a_group_share_a_stack_and_groups_do_not() -> None:
    network = WaveNet(blocks=Improved(count=2, channels=4, layers=2), group=2, image=TINY).build(
        ImageShape(1, (6, 100))
    )
    assert len(network.stacks) == 3
    alike = torch.randn(1, 1, 1, 100).expand(1, 1, 6, 100)
    channels = network.channels(alike)[0]
    torch.testing.assert_close(channels[0], channels[1])
    torch.testing.assert_close(channels[4], channels[5])
    assert not torch.allclose(channels[1], channels[2])


def test_a_signal_changes_its_own_channels_only() -> None:
    network = WaveNet(blocks=Improved(count=2, channels=4, layers=2), group=2, image=TINY).build(
        ImageShape(1, (4, 100))
    )
    x = torch.randn(2, 1, 4, 100)
    changed = x.clone()
    changed[1, 0, 2] += 1
    same = (network.channels(x) == network.channels(changed)).all(dim=3).all(dim=2)
    assert same.tolist() == [[True] * 4, [True, True, False, True]]


def test_the_starter_takes_the_means_of_chains_of_two() -> None:
    network = WaveNet(blocks=Starter(), image=None).build(ImageShape(1, (8, 200))).eval()
    assert n_parameters(network) == 81_120 + (4 * 64 + 1) * 64 + 65 * 6
    x = torch.randn(2, 1, 8, 200)
    means = network.channels(x).mean(dim=3)
    chains = [(means[:, 2 * i] + means[:, 2 * i + 1]) / 2 for i in range(4)]
    expected = torch.relu(network.head.dense(torch.cat(chains, dim=1)))
    torch.testing.assert_close(network.features(x), expected)
    torch.testing.assert_close(network(x), network.classifier(expected))


def test_what_is_no_group_of_signals_is_refused() -> None:
    model = WaveNet(image=TINY)
    model.check(ImageShape(1, (16, 100)))
    with pytest.raises(ValueError, match=r"a multiple of 8 signals and of 5 samples, found 20 signals of 10000"):
        model.check(ImageShape(1, (20, 10_000)))
    with pytest.raises(ValueError, match=r"found 8 signals of 102 samples"):
        model.check(ImageShape(1, (8, 102)))
    with pytest.raises(ValueError, match=r"takes EEG signals \[1, signal, time\], found \[3, 24, 100\]; write"):
        model.check(ImageShape(3, (24, 100)))
    with pytest.raises(ValueError, match="found eeg and spectrogram apart"):
        model.check({"eeg": ImageShape(), "spectrogram": ImageShape()})
    with pytest.raises(ValueError, match="a multiple of 6 signals"):
        WaveNet(blocks=Starter(), group=3, image=None).check(ImageShape(1, (9, 100)))


def test_blocks_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="one number for each block, found 2 and 1"):
        Starter(filters=(4, 8), depths=(3,))
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        Improved(count=1)


def test_the_spacing_is_numpys_rounded_down() -> None:
    for count in range(2, 12):
        for channels in range(2, 40):
            exact = np.linspace(1, channels, count)
            ours = np.array((1, *Improved(count=count, channels=channels).filters[:-1]))
            np.testing.assert_array_equal(ours, np.floor(exact + 1e-9))
