import sys

import pytest
import torch
from torch import nn

from hms_search.eeg.shapes import ImageShape
from hms_search.errors import ConfigError
from hms_search.models import Braindecode
from hms_search.training.losses import kl_divergence

SIGNALS = ImageShape(1, (8, 500))


def test_the_networks_are_those_of_their_papers() -> None:
    eegnet = Braindecode().build(ImageShape(1, (20, 10_000)))
    count = {name: weight.numel() for name, weight in eegnet.named_parameters()}
    # EEGNet-8,2: 8 temporal filters of 64, 2 spatial ones of each over all signals, 16 separable ones of 16
    assert count["network.conv_temporal.weight"] == 8 * 64
    assert count["network.conv_spatial.weight"] == 8 * 2 * 20
    assert count["network.conv_separable_depth.weight"] == 16 * 16
    assert count["network.final_layer.conv_classifier.weight"] == 6 * 16 * (10_000 // 32)
    shallow = Braindecode(network="shallow_fbcsp").build(ImageShape(1, (20, 10_000)))
    assert (
        sum(weight.numel() for weight in shallow.parameters()) == 40 * 25 + 40 + 40 * 40 * 20 + 80 + 6 * (40 * 661) + 6
    )


def test_options_reach_the_network() -> None:
    eegnet = Braindecode(kernel=100, dropout=0.4).build(SIGNALS)
    shallow = Braindecode(network="shallow_fbcsp", kernel=13, dropout=0.4).build(SIGNALS)
    for network, length in ((eegnet, 100), (shallow, 13)):
        assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)][:1] == [0.4]
        kernels = [layer.kernel_size for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        assert length in kernels[0]


@pytest.mark.parametrize("network", ["eegnet", "shallow_fbcsp"])
def test_a_window_that_the_pooling_would_use_up_is_refused(network: str) -> None:
    model = Braindecode.model_validate({"network": network})
    shortest = 28 if network == "eegnet" else 99
    with pytest.raises(ValueError, match=f"{network} needs {shortest} samples or more, found {shortest - 1}"):
        model.check(ImageShape(1, (8, shortest - 1)))
    model.check(ImageShape(1, (8, shortest)))
    assert model.build(ImageShape(1, (8, shortest))).eval()(torch.randn(2, 1, 8, shortest)).shape == (2, 6)


def test_filters_applied_apart_give_what_the_merged_ones_give() -> None:
    network = Braindecode(network="shallow_fbcsp").build(SIGNALS).eval()
    x = torch.randn(3, 1, 8, 500)
    with torch.inference_mode():
        merged = network(x)
    torch.testing.assert_close(network(x), merged, rtol=1e-4, atol=1e-5)


def test_eegnet_learns_on_after_it_was_evaluated() -> None:
    """Its forward pass renews the spatial filters, also where no gradient is recorded."""
    torch.manual_seed(0)
    network = Braindecode(dropout=0.0).build(SIGNALS)
    x, target = torch.randn(8, 1, 8, 500), torch.softmax(3 * torch.randn(8, 6), dim=1)
    steps, losses = torch.optim.AdamW(network.parameters(), lr=1e-2), []
    for _ in range(5):
        loss = kl_divergence(network.train()(x), target).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
        with torch.inference_mode():
            network.eval()(x)
    assert losses[-1] < losses[0]


def test_eegnet_in_mixed_precision_comes_back_on_a_cpu() -> None:
    """Channels last and in bfloat16, its depthwise kernel of 16 never ended."""
    network = Braindecode().build(SIGNALS).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.randn(2, 1, 8, 500)).dtype == torch.float32


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "braindecode.models", None)
    with pytest.raises(ConfigError, match=r'found none; pip install "hms-search\[braindecode\]", or choose another'):
        Braindecode().build(SIGNALS)
