"""What every model must do, whichever it is.

A new model adds itself to ``MODELS``: its configuration, small enough for a test, and the shape of an input it takes.
"""

from collections.abc import Mapping
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from hms_search.eeg.shapes import ImageShape, InputShape, Kind
from hms_search.explain.grad_cam import class_map
from hms_search.models import (
    AttentionSpectrogram,
    Braindecode,
    EegCnn,
    EegGru,
    EfficientNet1d,
    Model,
    Multimodal,
    StftImage,
    TimmImage,
    WaveNet,
    parameter_names,
)
from hms_search.models.heads import Heads
from hms_search.models.pooling import Attention, Gem
from hms_search.models.wave_blocks import Improved, Starter
from hms_search.training.losses import kl_divergence

Input = Tensor | Mapping[Kind, Tensor]

IMAGE = ImageShape(1, (64, 32))
SIGNALS = ImageShape(1, (8, 500))
SLICES = ImageShape(4, (48, 32))
TINY = TimmImage(backbone="test_resnet")
WAVENET = WaveNet(blocks=Improved(count=2, channels=4, layers=4), group=4, image=TINY)
MODELS: list[tuple[Model, InputShape]] = [
    (TimmImage(backbone="resnet18", dropout=0.2, drop_path=0.1), IMAGE),
    (TimmImage(backbone="efficientnet_b0", dropout=0.2, drop_path=0.1), IMAGE),
    (TimmImage(backbone="mobilenetv3_small_050"), ImageShape(3, (64, 32))),
    (TimmImage(backbone="test_efficientnet", pooling=Gem(), stem_stride=(1, 2), checkpointing=True), IMAGE),
    (TimmImage(backbone="test_resnet", pooling=Attention(hidden=8)), IMAGE),
    (AttentionSpectrogram(image=TINY, hidden=16), SLICES),
    (WAVENET, SIGNALS),
    (WaveNet(blocks=Starter(filters=(4, 6), depths=(4, 2)), group=8, image=None, checkpointing=True), SIGNALS),
    (StftImage(image=TINY), SIGNALS),
    (StftImage(image=TINY, trainable=False), SIGNALS),
    (
        Multimodal(
            wavenet=WAVENET,
            stft_image=StftImage(image=TINY),
            attention_spectrogram=AttentionSpectrogram(image=TINY, hidden=16),
        ),
        {"eeg": SIGNALS, "spectrogram": SLICES},
    ),
    (EegCnn(dropout=0.2), ImageShape(3, (20, 24))),
    (EegCnn(channels=(8, 16), kernel=5), IMAGE),
    (EfficientNet1d(dropout=0.2, drop_path=0.1), SIGNALS),
    (EfficientNet1d(chains=2, across=1, width=0.25, depth=1.0), SIGNALS),
    (EegGru(channels=(8, 16), hidden=16, layers=2, dropout=0.2), SIGNALS),
    (EegGru(pool="mean", stride=2), SIGNALS),
    (Braindecode(), SIGNALS),
    (Braindecode(network="shallow_fbcsp", kernel=13, dropout=0.1), SIGNALS),
]

every_model = pytest.mark.parametrize(
    ("model", "shape"), [pytest.param(*case, id=f"{i}-{case[0].name}") for i, case in enumerate(MODELS)]
)


def drawn(shape: InputShape, batch: int = 4, *, fill: float | None = None) -> Input:
    if isinstance(shape, ImageShape):
        assert shape.size is not None
        return torch.randn(batch, shape.channels, *shape.size) if fill is None else torch.full_like(drawn(shape), fill)
    return {kind: drawn(part, batch, fill=fill) for kind, part in shape.items()}


def first(x: Input) -> Input:
    return x[:1] if isinstance(x, Tensor) else {kind: part[:1] for kind, part in x.items()}


def built(model: Model, shape: InputShape, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return model.build(shape)


def loss_of(output: Tensor | Heads, target: Tensor) -> Tensor:
    if isinstance(output, Tensor):
        return kl_divergence(output, target).mean()
    losses = [kl_divergence(logits, target).mean() for logits in (output.main, *output.auxiliary)]
    return sum((w * loss for w, loss in zip(output.weights, losses, strict=True)), torch.zeros(()))


def targets() -> Tensor:
    return torch.softmax(torch.randn(4, 6), dim=1)


def test_every_model_of_the_union_is_here() -> None:
    assert {type(model) for model, _ in MODELS} == set(get_args(get_args(Model)[0]))


@every_model
def test_a_model_accepts_its_shape_and_refuses_an_unknown_pair(model: Model, shape: InputShape) -> None:
    model.check(shape)
    wrong: InputShape = {"eeg": IMAGE, "spectrogram": IMAGE} if isinstance(shape, ImageShape) else IMAGE
    with pytest.raises(ValueError, match="found"):
        model.check(wrong)


@every_model
def test_a_model_is_in_training_mode_when_it_is_built(model: Model, shape: InputShape) -> None:
    assert [name for name, part in built(model, shape).named_modules() if not part.training] == []


@every_model
def test_the_names_of_a_models_parameters_are_known_before_it_is_built(model: Model, shape: InputShape) -> None:
    before = torch.get_rng_state()
    known = parameter_names(model, shape)
    assert torch.equal(torch.get_rng_state(), before)
    assert known == tuple(name for name, _ in built(model, shape).named_parameters())


@every_model
def test_a_model_turns_inputs_into_finite_logits_of_six_classes(model: Model, shape: InputShape) -> None:
    network = built(model, shape).eval()
    for x in (drawn(shape), drawn(shape, fill=0.0), drawn(shape, fill=10.0)):
        logits = network(x)
        assert logits.shape == (4, 6)
        assert logits.isfinite().all()


@every_model
def test_a_gradient_reaches_every_parameter_of_a_model(model: Model, shape: InputShape) -> None:
    network = built(model, shape).train()
    x, target = drawn(shape), targets()
    steps = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # the last scale of a residual branch starts at 0 and hides the branch from the first gradient
        steps.zero_grad()
        loss_of(network(x), target).backward()
        steps.step()
    learning = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    assert [name for name, weight in learning if weight.grad is None or not weight.grad.any()] == []


@every_model
def test_a_model_is_the_same_under_the_same_seed_and_after_a_state_dict_round_trip(
    model: Model, shape: InputShape
) -> None:
    x = drawn(shape, 2)
    one, again, other = built(model, shape).eval(), built(model, shape).eval(), built(model, shape, seed=1).eval()
    torch.testing.assert_close(one(x), again(x), rtol=0, atol=0)
    assert not torch.equal(one(x), other(x))
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(x), one(x), rtol=0, atol=0)


@every_model
def test_a_model_in_evaluation_answers_twice_with_the_same_bits(model: Model, shape: InputShape) -> None:
    network = built(model, shape)
    network(drawn(shape))  # running statistics are moved, dropout masks drawn
    network.eval()
    x = drawn(shape)
    torch.testing.assert_close(network(x), network(x), rtol=0, atol=0)


@every_model
def test_a_window_alone_is_judged_as_in_a_batch(model: Model, shape: InputShape) -> None:
    network = built(model, shape).eval()
    x = drawn(shape)
    torch.testing.assert_close(network(first(x)), network(x)[:1], rtol=1e-4, atol=1e-5)


@every_model
def test_hooks_fire_on_every_convolution_and_see_the_gradient_of_the_last(model: Model, shape: InputShape) -> None:
    network = built(model, shape).eval()
    for weight in network.parameters():  # scales that start at 0 hide the branch before them
        weight.data += 0.1 * (not weight.any())
    ran: list[nn.Module] = []
    maps: dict[nn.Module, Tensor] = {}
    slopes: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _: object, output: Tensor) -> None:
        ran.append(module)
        maps[module] = output

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d)]
    for module in convolutions:
        module.register_forward_hook(keep)
    network(drawn(shape, 1))
    assert set(ran) == set(convolutions)
    last = next(module for module in reversed(ran) if maps[module].shape[2:].numel() > 1 or module is ran[0])
    last.register_full_backward_hook(lambda at, _, out: slopes.update({at: out[0]}))
    network(drawn(shape, 1))[0, 2].backward()
    assert slopes[last].shape == maps[last].shape
    assert slopes[last].any()


@every_model
def test_a_model_can_be_explained_on_the_places_of_its_input(model: Model, shape: InputShape) -> None:
    network = built(model, shape).eval()
    for weight in network.parameters():  # scales that start at 0 hide the branch before them
        weight.data += 0.1 * (not weight.any())
    x = first(drawn(shape, 1))
    for kind, part in {None: shape}.items() if isinstance(shape, ImageShape) else shape.items():
        maps = [class_map(model, network, x, class_index=i, kind=kind)[0] for i in range(6)]
        assert {places.shape for places in maps} == {part.size}
        assert all(places.min() >= 0 and places.max() in (0, 1) for places in maps)
        different = [places for places in maps if places.any() and not torch.equal(places, maps[0])]
        assert different, "the map is the same whatever the class"


@every_model
def test_a_model_learns_in_mixed_precision(model: Model, shape: InputShape) -> None:
    network = built(model, shape)
    x, target = drawn(shape), targets()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(network.train()(x), target)
    loss.backward()
    assert loss.isfinite()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    network.eval()
    exact = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = network(x)
    torch.testing.assert_close(coarse.float().softmax(dim=1), exact.softmax(dim=1), rtol=0, atol=0.03)
