import numpy as np
import pytest
import torch
from augment.conftest import MakeImages
from scipy import ndimage

from hms_search.augment import Images
from hms_search.augment.blur import Blur


def blurred(batch: Images, blur: Blur, seed: int = 0) -> torch.Tensor:
    return blur.forward(batch, torch.Generator().manual_seed(seed)).x


def test_a_median_is_scipys_of_3_by_3_pixels(images: MakeImages) -> None:
    batch = images(4, height=17, width=23)
    expected = ndimage.median_filter(batch.x.numpy(), size=(1, 1, 3, 3), mode="nearest")
    np.testing.assert_array_equal(blurred(batch, Blur(p=1, kind="median")), expected)


def test_motion_draws_a_point_out_to_a_line_of_three_in_one_of_four_directions() -> None:
    x = torch.zeros(200, 2, 3, 3)
    x[:, :, 1, 1] = 9.0
    after = blurred(Images(x, torch.full((200, 6), 1 / 6), torch.ones(200)), Blur(p=1, kind="motion"))
    torch.testing.assert_close(after[:, 0], after[:, 1])
    lines, counts = after[:, 0].round().int().unique(dim=0, return_counts=True)
    level = [[0, 0, 0], [3, 3, 3], [0, 0, 0]]
    falling = [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    expected = [level, np.transpose(level).tolist(), falling, falling[::-1]]
    assert sorted(lines.tolist()) == sorted(expected)
    assert counts.min() > 30


@pytest.mark.parametrize("kind", ["median", "motion"])
def test_an_even_image_stays_as_it_is_up_to_its_edges(kind: str) -> None:
    batch = Images(torch.full((8, 1, 4, 5), 2.5), torch.full((8, 6), 1 / 6), torch.ones(8))
    torch.testing.assert_close(blurred(batch, Blur.model_validate({"p": 1, "kind": kind})), batch.x)


@pytest.mark.parametrize("kind", ["median", "motion"])
def test_what_a_pixel_becomes_lies_within_its_neighbourhood(kind: str, images: MakeImages) -> None:
    batch = images(3)
    after = blurred(batch, Blur.model_validate({"p": 1, "kind": kind}))
    lowest, highest = (
        torch.from_numpy(extreme(batch.x.numpy(), size=(1, 1, 3, 3), mode="nearest"))
        for extreme in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    assert ((after > lowest - 1e-5) & (after < highest + 1e-5)).all()
    assert after.std() < batch.x.std()


def test_either_is_a_median_for_half_of_the_samples(images: MakeImages) -> None:
    batch = images(200, height=9, width=9)
    medians = torch.from_numpy(ndimage.median_filter(batch.x.numpy(), size=(1, 1, 3, 3), mode="nearest"))
    share = (blurred(batch, Blur(p=1)) == medians).all(dim=(1, 2, 3)).float().mean()
    assert 0.4 < share < 0.6
