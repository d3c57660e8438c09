import torch
from torch import Tensor, nn

from hms_search.eeg.shapes import ImageShape
from hms_search.models import EegGru


def test_a_window_becomes_157_steps_of_the_recurrent_layer() -> None:
    network = EegGru().build(ImageShape(1, (20, 10_000)))
    seen: list[Tensor] = []
    recurrent = next(layer for layer in network.modules() if isinstance(layer, nn.GRU))
    recurrent.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert network(torch.randn(2, 1, 20, 10_000)).shape == (2, 6)
    assert seen[0].shape == (2, 157, 96)


def test_options_reach_the_network() -> None:
    network = EegGru(channels=(4, 5), kernel=7, stride=3, hidden=6, layers=2, dropout=0.3).build(
        ImageShape(1, (8, 500))
    )
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(8, 4), (4, 5)]
    assert {(layer.kernel_size, layer.stride) for layer in convolutions} == {((7,), (3,))}
    recurrent = next(layer for layer in network.modules() if isinstance(layer, nn.GRU))
    assert (recurrent.hidden_size, recurrent.num_layers, recurrent.bidirectional) == (6, 2, True)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.3]


def test_every_signal_and_both_ends_of_the_window_reach_the_logits() -> None:
    torch.manual_seed(0)
    network = EegGru().build(ImageShape(1, (20, 10_000))).eval()
    x = torch.randn(1, 1, 20, 10_000, requires_grad=True)
    network(x)[0, 0].backward()
    assert x.grad is not None
    assert (x.grad[0, 0].abs().sum(dim=1) > 0).all()
    assert x.grad[0, 0, :, :50].any()
    assert x.grad[0, 0, :, -50:].any()
