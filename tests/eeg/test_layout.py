import pytest
import torch

from hms_search.eeg.layout import Channels, Grid, Restack, Stack

PLANES = torch.arange(2 * 6 * 4 * 5.0).reshape(2, 6, 4, 5)


def test_stacked_planes_stand_one_below_the_other() -> None:
    image = Stack().forward(PLANES)
    assert image.shape == (2, 1, 24, 5)
    torch.testing.assert_close(image[:, 0], torch.cat(list(PLANES.unbind(1)), dim=1))


def test_stacked_channels_are_successive_groups_of_planes() -> None:
    image = Stack(channels=3).forward(PLANES)
    assert image.shape == (2, 3, 8, 5)
    torch.testing.assert_close(image[:, 1:2], Stack().forward(PLANES[:, 2:4]))


def test_channels_are_the_planes() -> None:
    assert Channels().forward(PLANES) is PLANES


def test_a_restacked_row_is_two_old_rows_side_by_side() -> None:
    image, old = Restack().forward(PLANES), Stack().forward(PLANES)
    assert image.shape == (2, 1, 12, 10)
    torch.testing.assert_close(image, torch.cat([old[:, :, ::2], old[:, :, 1::2]], dim=3))
    torch.testing.assert_close(image.flatten(), PLANES.flatten())  # memory read with another width


def test_a_grid_is_read_like_a_text() -> None:
    image = Grid(columns=3).forward(PLANES)
    assert image.shape == (2, 1, 8, 15)
    torch.testing.assert_close(image[:, 0, 4:, :5], PLANES[:, 3])
    torch.testing.assert_close(image[:, 0, :4, 10:], PLANES[:, 2])


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Stack(channels=4), "stack cannot share 6 planes out to 4 channels evenly"),
        (Grid(columns=4), "grid cannot share 6 planes out to 4 columns evenly"),
        (Restack(columns=5), "restack cannot share 24 rows out to 5 columns evenly"),
    ],
)
def test_planes_that_do_not_fit_are_refused(layout: Stack | Grid | Restack, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layout.forward(PLANES)
