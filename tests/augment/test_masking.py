import pytest
import torch
from pydantic import ValidationError

from hms_search.augment import Images
from hms_search.augment.draws import some_of, spans
from hms_search.augment.masking import CoarseDropout, FrequencyDropout, XYMasking


def ones(n: int, height: int = 60, width: int = 80, channels: int = 2) -> Images:
    return Images(torch.ones(n, channels, height, width), torch.full((n, 6), 1 / 6), torch.ones(n))


def empty(batch: Images, masking: XYMasking | CoarseDropout | FrequencyDropout) -> torch.Tensor:
    """Which pixels of each image have become 0, in all of its channels alike."""
    x = masking.forward(batch, torch.Generator().manual_seed(0)).x
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    assert (x == x[:, :1]).all()
    return x[:, 0] == 0


def test_one_stripe_of_time_has_any_length_up_to_20_and_lies_anywhere() -> None:
    one = XYMasking(p=1, min_x_masks=1, max_x_masks=1, min_x_px=0, max_x_px=20, min_y_masks=0, max_y_masks=0)
    masked = empty(ones(600, height=3), one)
    assert (masked == masked[:, :1]).all()
    times = masked[:, 0]
    assert set(times.sum(dim=1).tolist()) == set(range(21))
    assert ((times[:, 1:] & ~times[:, :-1]).sum(dim=1) + times[:, 0] <= 1).all()
    assert times.any(dim=0).all()


def test_stripes_cross_all_frequencies_and_all_times() -> None:
    masked = empty(ones(50), XYMasking(p=1))
    times, frequencies = masked.all(dim=1), masked.all(dim=2)
    torch.testing.assert_close(masked, times[:, None] | frequencies[:, :, None])
    assert times.sum(dim=1).min() >= 10
    assert times.sum(dim=1).max() <= 80
    assert frequencies.sum(dim=1).min() >= 8
    assert frequencies.sum(dim=1).max() <= 40


def test_a_least_above_a_most_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_x_px must not be above max_x_px, found 30 and 20"):
        XYMasking(min_x_px=30)


def test_holes_are_1_to_10_rectangles_of_at_most_10_pixels_a_side() -> None:
    one = empty(ones(500), CoarseDropout(p=1, max_holes=1))
    heights, widths = one.any(dim=2).sum(dim=1), one.any(dim=1).sum(dim=1)
    torch.testing.assert_close(one.sum(dim=(1, 2)), heights * widths)
    assert set(heights.tolist()) == set(widths.tolist()) == set(range(1, 11))
    many = empty(ones(500), CoarseDropout(p=1)).sum(dim=(1, 2))
    assert many.min() >= 1
    assert many.max() <= 1000
    assert 5.5 * 30.25 * 0.85 < many.float().mean() < 5.5 * 30.25  # holes overlap a little


def test_0_to_4_frequencies_are_dropped_for_all_times() -> None:
    masked = empty(ones(500, width=5), FrequencyDropout(p=1))
    assert (masked == masked[:, :, :1]).all()
    counts = masked[:, :, 0].sum(dim=1).bincount(minlength=5)
    assert len(counts) == 5
    assert counts.min() > 70


def test_frequency_dropout_does_not_reverse_time() -> None:
    batch = ones(20)
    ramp = Images(batch.x * torch.arange(1.0, 81), batch.target, batch.weight)
    after = FrequencyDropout(p=1).forward(ramp, torch.Generator().manual_seed(0)).x
    assert ((after == ramp.x) | (after == 0)).all()


def test_masks_larger_than_the_image_cover_it_and_no_more_are_drawn_than_there_are() -> None:
    generator = torch.Generator().manual_seed(0)
    assert spans(5, torch.tensor([[9]]), generator).all()
    assert some_of(3, 8, 9, 4, generator).all()
