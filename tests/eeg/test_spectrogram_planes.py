from itertools import combinations

import pytest
import torch
from pydantic import ValidationError

from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.shapes import ImageShape
from hms_search.eeg.spectrogram_planes import Differences, Regions, WholeFile

PLACE15 = {
    "planes": {"name": "differences"},
    "gap_fill": "mean",
    "clip_log": {"low": -7, "high": 10},
    "limit": 16,
    "width": 300,
    "layout": {"name": "channels"},
    "resize": None,
}


def run(config: dict[str, object], log_power: torch.Tensor) -> torch.Tensor:
    return InputPipeline(config=SpectrogramPipeline.model_validate(config)).forward(log_power)


def test_regions_are_the_columns_of_the_file_in_the_order_asked_for() -> None:
    power = torch.randn(2, 30, 400)
    assert torch.equal(WholeFile().forward(power)[:, 0], power)
    planes = Regions(order=("LL", "LP", "RP", "RL")).forward(power)
    for plane, column in enumerate((0, 200, 300, 100)):
        assert torch.equal(planes[:, plane], power[..., column : column + 100])


def test_each_region_is_normalised_by_itself() -> None:
    power = torch.randn(2, 30, 400) + torch.arange(4).repeat_interleave(100)
    config = {"planes": {"name": "regions"}, "layout": {"name": "channels"}, "resize": None}
    image = run(config, power)
    assert image.shape == (2, 4, 100, 30)
    torch.testing.assert_close(image.mean(dim=(2, 3)), torch.zeros(2, 4), atol=1e-5, rtol=0)
    alone = run({"resize": None}, power[..., :100].repeat(1, 1, 4))
    torch.testing.assert_close(image[:, :1], alone[:, :, :100])


def test_differences_are_of_power_and_a_negative_one_lies_on_the_lower_clip_bound() -> None:
    power = torch.rand(1, 300, 400) * 10 + 0.1
    planes = Differences().forward(power.log())
    saved = [power[..., start : start + 100] for start in (0, 100, 300, 200)]  # LL, RL, RP, LP
    for number, (i, j) in enumerate(combinations(range(4), 2)):
        difference = saved[i] - saved[j]
        torch.testing.assert_close(planes[:, 4 + number].exp(), difference.clamp(min=0), atol=1e-4, rtol=1e-4)


def test_ten_slices_of_the_15th_place_are_100_by_300_and_normalised_together() -> None:
    slices = run(PLACE15, 3 * torch.randn(2, 340, 400))
    assert slices.shape == (2, 10, 100, 300)
    assert SpectrogramPipeline.model_validate(PLACE15).shape == ImageShape(10, (100, 300))
    whole = run({**PLACE15, "width": 340}, 3 * torch.randn(2, 340, 400))
    torch.testing.assert_close(whole.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(whole.std(dim=(1, 2, 3), correction=0), torch.ones(2), atol=1e-3, rtol=0)


def test_gaps_of_differences_become_the_mean_and_every_value_stays_within_the_limit() -> None:
    power = 3 * torch.randn(4, 300, 400)
    power[0, :50] = torch.nan
    power[1] = torch.nan
    power[2] = -torch.inf
    power[3, :, :100] = torch.inf
    slices = run({**PLACE15, "limit": 2}, power.half())
    assert slices.isfinite().all()
    assert slices.abs().max() <= 2
    torch.testing.assert_close(slices[0, :, :, :50], torch.zeros(10, 100, 50), atol=1e-4, rtol=0)


def test_a_width_crops_the_middle_and_pads_shorter_recordings_with_0_and_a_margin_adds_rows_of_0() -> None:
    config = {"planes": {"name": "regions"}, "normalise": {"name": "none"}, "width": 6, "margin": 2, "resize": None}
    power = torch.randn(1, 10, 400)
    image = run({**config, "layout": {"name": "channels"}}, power)
    assert image.shape == (1, 4, 104, 6)
    torch.testing.assert_close(image[0, 1, 2:102], power[0, 2:8, 100:200].T.clamp(-6, 10))
    assert not image[:, :, :2].any()
    assert not image[:, :, 102:].any()
    short = run({**config, "layout": {"name": "channels"}}, power[:, :3])
    assert not short[..., :1].any()
    assert not short[..., 4:].any()
    torch.testing.assert_close(short[0, 0, 2:102, 1:4], power[0, :3, :100].T.clamp(-6, 10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalise": {"name": "datawide"}}, "datawide statistics are of the file's power, not of differences"),
        ({"layout": {"name": "stack", "channels": 3}}, "stack cannot share 10 planes out to 3 channels evenly"),
    ],
)
def test_planes_that_cannot_be_normalised_or_laid_out_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SpectrogramPipeline.model_validate({**PLACE15, **change})
