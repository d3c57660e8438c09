import pytest
import torch
from eeg_signals import noise
from nnAudio.features.stft import STFT

from hms_search.eeg.layout import Restack
from hms_search.eeg.shapes import ImageShape
from hms_search.eeg.stft import Stft
from hms_search.models import StftImage, TimmImage
from hms_search.models.stft_image import TrainedStft

VARIANTS = {"A": Stft(), "B": Stft(n_fft=190, win_length=96, hop_length=24, window="hann")}
PLANES = {"A": (56, 431), "B": (96, 409)}
RESTACKED = {"A": (672, 862), "B": (1152, 818)}
TINY = TimmImage(backbone="test_resnet")
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def nnaudio(stft: Stft) -> STFT:
    """The layer as the 15th place sets it up."""
    return STFT(
        **stft.model_dump(include={"n_fft", "win_length", "hop_length", "window"}),
        **{"freq_scale": "linear", "fmin": stft.low_hz, "fmax": stft.high_hz, "sr": 200},
        **{"center": False, "output_format": "Magnitude", "trainable": True, "verbose": False},
    )


@every_variant
def test_the_planes_and_their_gradients_equal_nnaudios(variant: str) -> None:
    ours, theirs = TrainedStft(VARIANTS[variant]), nnaudio(VARIANTS[variant])
    x = (noise(1, n_derivations=3, n_times=2000) / 32).requires_grad_()
    again = x.detach().clone().requires_grad_()
    planes = ours(x)
    expected = (torch.log1p(theirs(again[0]).pow(2)).clamp(0, 20) - 7.5) / 7.5
    torch.testing.assert_close(planes[0], expected, atol=1e-5, rtol=0)
    slopes = torch.randn_like(expected)
    planes[0].backward(slopes)
    expected.backward(slopes)
    torch.testing.assert_close(x.grad, again.grad, rtol=1e-3, atol=1e-5)
    cosines, sines = ours.kernels.weight.grad.chunk(2)
    torch.testing.assert_close(cosines, theirs.wcos.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(sines, theirs.wsin.grad, rtol=1e-3, atol=1e-3)


@every_variant
def test_the_kernels_start_as_nnaudios_and_reach_over_the_whole_frame(variant: str) -> None:
    theirs = nnaudio(VARIANTS[variant])
    expected = torch.cat([theirs.wcos, theirs.wsin]).detach()
    weight = TrainedStft(VARIANTS[variant]).kernels.weight
    assert weight.requires_grad
    torch.testing.assert_close(weight.detach(), expected, atol=1e-6, rtol=0)


@every_variant
def test_the_image_of_24_signals_is_two_columns_of_their_planes(variant: str) -> None:
    network = StftImage(stft=VARIANTS[variant], image=TINY).build(ImageShape(1, (24, 10_000))).eval()
    x = noise(1, n_derivations=24) / 32
    with torch.inference_mode():
        assert network.stft(x).shape == (1, 24, *PLANES[variant])
        image = network.image(x[:, None])
    assert image.shape == (1, 1, *RESTACKED[variant])
    expected = Restack(columns=2).forward(VARIANTS[variant].forward(x, ()))
    torch.testing.assert_close(image, expected, atol=1e-4, rtol=0)


def test_untrained_kernels_are_the_pipelines_stft_and_no_parameters() -> None:
    network = StftImage(trainable=False, image=TINY).build(ImageShape(1, (4, 2000)))
    x = noise(2, n_derivations=4, n_times=2000) / 32
    expected = Restack(columns=2).forward(Stft().forward(x, ()))
    torch.testing.assert_close(network.image(x[:, None]), expected, rtol=0, atol=0)
    assert not any(name.startswith("stft") for name in network.state_dict())


def test_the_transform_stays_in_single_precision() -> None:
    stft, x = TrainedStft(Stft()), noise(1, n_derivations=2, n_times=2000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        planes = stft(x.bfloat16().float())
    assert planes.dtype == torch.float32
    torch.testing.assert_close(planes, stft(x.bfloat16().float()), rtol=0, atol=0)


def test_training_moves_the_kernels_also_outside_the_window() -> None:
    network = StftImage(image=TINY).build(ImageShape(1, (4, 600)))
    before = network.stft.kernels.weight.detach().clone()
    steps = torch.optim.SGD(network.parameters(), lr=1)
    network(torch.randn(2, 1, 4, 600)).square().sum().backward()
    steps.step()
    moved = (network.stft.kernels.weight != before).any(dim=(0, 1))
    assert moved.all()


def test_signals_that_make_no_image_are_refused() -> None:
    model = StftImage(image=TINY)
    model.check(ImageShape(1, (24, 10_000)))
    with pytest.raises(ValueError, match="a frame of 110 samples, found 100"):
        model.check(ImageShape(1, (24, 100)))
    with pytest.raises(ValueError, match="restack cannot share 56 rows out to 3 columns"):
        model.model_copy(update={"columns": 3}).check(ImageShape(1, (1, 10_000)))
    with pytest.raises(ValueError, match=r"takes EEG signals \[1, signal, time\], found \[24, 10, 10\]"):
        model.check(ImageShape(24, (10, 10)))
