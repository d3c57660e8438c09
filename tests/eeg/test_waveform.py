import pytest
import torch

from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.shapes import ImageShape
from hms_search.eeg.waveform import Waveform

SIGNALS = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(0))


def test_a_waveform_is_the_signals_as_planes_of_one_row() -> None:
    planes = Waveform().forward(SIGNALS, ())
    assert planes.shape == (2, 3, 1, 100)
    assert torch.equal(planes[:, :, 0], SIGNALS)


def test_the_middle_every_so_many_samples_and_the_mean_can_be_chosen() -> None:
    planes = Waveform(length=60, every=5).forward(SIGNALS, ())
    assert torch.equal(planes[:, :, 0], SIGNALS[:, :, 20:80:5])
    centred = Waveform(length=60, every=5, centre=True).forward(SIGNALS + 100, ())
    torch.testing.assert_close(centred.mean(dim=3), torch.zeros(2, 3, 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(centred - centred[..., :1], planes - planes[..., :1], atol=1e-4, rtol=0)


def test_a_recording_shorter_than_the_middle_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="waveform needs 120 samples, found 100"):
        Waveform(length=120).forward(SIGNALS, ())


@pytest.mark.parametrize(
    ("representation", "montage", "size"),
    [
        ({"every": 5}, "wavenet8", (8, 2000)),  # Deotte's starter
        ({}, "place15", (24, 10_000)),
        ({"length": 9600, "every": 5, "centre": True}, "double_banana_16", (16, 1920)),  # 4th place
    ],
)
def test_signals_of_the_sources_are_images_of_one_channel(
    representation: dict[str, object], montage: str, size: tuple[int, int]
) -> None:
    config = {"representation": {"name": "waveform", **representation}, "montage": {"name": montage}}
    pipeline = EegPipeline.model_validate({"source": "eeg", "clip_uv": 1024, "scale_uv": 32, **config})
    assert pipeline.shape == ImageShape(1, size)
    image = pipeline.fit([]).forward(torch.full((1, 10_000, 20), torch.nan))
    assert image.shape == (1, 1, *size)
    assert image.isfinite().all()
