import pytest
import torch
from eeg_signals import DEOTTE, awkward_signals, noise, tone
from pydantic import ValidationError

from hms_search.eeg.contrast import contrast_matrix, with_contrasts
from hms_search.eeg.layout import Stack
from hms_search.eeg.mel import LogMel
from hms_search.eeg.zoom import Zoom


def test_the_close_up_takes_the_place_of_the_middle_fifth() -> None:
    x = noise(2)
    config = Zoom(contrasts=False)
    planes = config.forward(x, ())
    wide = config.overview.forward(x, ())
    close = config.close_up.forward(x[:, :, 3800:6200], ())
    assert (wide.shape[3], close.shape[3]) == (313, 601)
    assert planes.shape == (2, 16, 64, 313 - 62 + 601)
    torch.testing.assert_close(planes[..., :125], wide[..., :125])
    torch.testing.assert_close(planes[..., 125:726], close)
    torch.testing.assert_close(planes[..., 726:], wide[..., 187:])


def test_the_third_places_image_has_three_channels_of_16_stacked_derivations() -> None:
    assert Stack(channels=3).forward(Zoom().forward(noise(1), DEOTTE.chains)).shape == (1, 3, 16 * 64, 852)


@pytest.mark.parametrize("hz", [6.0, 17.0])
def test_a_tone_lands_in_its_band_outside_and_inside_of_the_close_up(hz: float) -> None:
    plane = Zoom(contrasts=False).forward(tone(hz), ())[0, 0]
    band = 63 * (hz - 0.53) / (30 - 0.53)  # below 30 Hz the mel scale is all but linear
    assert plane[:, 20:100].mean(dim=1).argmax() == pytest.approx(band, abs=2)
    assert plane[:, 200:600].mean(dim=1).argmax() == pytest.approx(band, abs=4)


def test_contrasts_are_against_the_mean_of_the_others_and_of_the_neighbours_in_the_chain() -> None:
    planes = torch.randn(2, 5, 3, 4)
    found = with_contrasts(planes, ((0, 1, 2), (4, 3)))
    torch.testing.assert_close(found[:, :5], planes)
    others = [[j for j in range(5) if j != i] for i in range(5)]
    neighbours = [[1], [0, 2], [1], [4], [3]]
    for i in range(5):
        torch.testing.assert_close(found[:, 5 + i], planes[:, i] - planes[:, others[i]].mean(dim=1))
        torch.testing.assert_close(found[:, 10 + i], planes[:, i] - planes[:, neighbours[i]].mean(dim=1))


def test_a_derivation_without_neighbours_keeps_its_values_and_equal_planes_have_no_contrast() -> None:
    torch.testing.assert_close(contrast_matrix(3, ((0, 1),))[6:][2], torch.tensor([0.0, 0.0, 1.0]))
    found = with_contrasts(torch.ones(1, 4, 2, 2), ((0, 1, 2, 3),))
    torch.testing.assert_close(found[:, 4:], torch.zeros(1, 8, 2, 2))


def test_a_log_mel_has_contrasts_where_they_are_wanted() -> None:
    x = noise(2, n_derivations=4)
    planes = LogMel(contrasts=True).forward(x, ((0, 1, 2, 3),))
    torch.testing.assert_close(planes, with_contrasts(LogMel().forward(x, ()), ((0, 1, 2, 3),)))


@pytest.mark.parametrize("name", awkward_signals())
def test_the_close_up_of_any_signal_is_finite(name: str) -> None:
    planes = Zoom().forward(awkward_signals()[name], DEOTTE.chains)
    assert planes.dtype == torch.float32
    assert planes.isfinite().all()


def test_parts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="as many mel bands, found 128 and 64"):
        Zoom(overview=LogMel())
    with pytest.raises(ValidationError, match="write contrasts beside overview"):
        Zoom.model_validate({"overview": {**Zoom().overview.to_dict(), "contrasts": True}})
