"""Regions of numbers: in the parameter's own scale, on its grid, inside the limits of its field."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_search.experiment import ExperimentConfig
from hms_search.search.field_limits import Limits, limits_of
from hms_search.search.regions import End, on_bound, region_of
from hms_search.search.space import Float, Int

ANYWHERE = Limits()
BASE = ExperimentConfig.model_validate(
    {
        "model": {"name": "timm", "backbone": "resnet18", "dropout": 0.1},
        "pipeline": {"source": "spectrogram", "width": 256},
    }
)


def real(low: float, high: float, **more: object) -> Float:
    return Float.model_validate({"type": "float", "low": low, "high": high, **more})


def whole(low: int, high: int, **more: object) -> Int:
    return Int.model_validate({"type": "int", "low": low, "high": high, **more})


@st.composite
def tried(draw: st.DrawFn) -> tuple[Float | Int, list[float]]:
    """A number and values of it."""
    parameter = draw(
        st.sampled_from(
            [
                real(1e-5, 1e-2, log=True),
                real(-3.0, 7.0),
                real(0.0, 1.2, step=0.3),
                real(0.1, 1.2, step=0.3),
                whole(8, 64, log=True),
                whole(1, 40, log=True),
                whole(0, 9),
                whole(4, 40, step=4),
                whole(16, 60, step=32),
            ]
        )
    )
    shares = draw(st.lists(st.floats(0, 1), min_size=1, max_size=8))
    return parameter, [_at(parameter, share) for share in shares]


def _at(parameter: Float | Int, share: float) -> float:
    low, high = parameter.low, parameter.high
    if parameter.log:
        value = min(high, max(low, low * (high / low) ** share))
        return round(value) if isinstance(parameter, Int) else value
    if parameter.step is not None:
        return low + round(share * round((parameter.last - low) / parameter.step)) * parameter.step
    return low + share * (high - low)


def _has_room(parameter: Float | Int, end: str) -> bool:
    """Say whether there is another step within -3.5 to 65 beyond the first or the last value."""
    if parameter.step is None or parameter.log:
        return False
    return parameter.low - parameter.step >= -3.5 if end == "low" else parameter.last + parameter.step <= 65


@given(tried(), st.floats(0, 0.5), st.just(0.0) | st.floats(1e-3, 1))
@settings(deadline=None)
def test_a_region_holds_the_values_stands_on_the_grid_and_leaves_the_range_only_beside_the_best(
    found: tuple[Float | Int, list[float]], margin: float, widen: float
) -> None:
    parameter, values = found
    region = region_of(parameter, values, values[0], limits=Limits(low=-3.5, high=65), margin=margin, widen=widen)
    assert region.low <= min(values) + 1e-9
    assert region.high >= max(values) - 1e-9
    assert region.low >= (1 if parameter.log and isinstance(parameter, Int) else -3.5)
    assert region.high <= 65
    edge = on_bound(parameter, values[0])
    assert (region.low < parameter.low) == ("low" in region.passed)
    assert (region.high > parameter.high) == ("high" in region.passed)
    assert set(region.passed + region.blocked) == ({edge} if edge and widen else set())
    assert not region.blocked or not _has_room(parameter, region.blocked[0])
    if parameter.step is not None and not parameter.log:
        steps = (region.low - parameter.low) / parameter.step
        assert abs(steps - round(steps)) < 1e-9


def test_a_logarithmic_range_is_widened_by_a_factor_and_a_linear_one_by_a_length() -> None:
    rate = region_of(real(1e-4, 1e-2, log=True), [1e-2, 8e-3], 1e-2, limits=ANYWHERE, margin=0.1, widen=0.5)
    clip = region_of(real(6.0, 12.0), [12.0, 11.0], 12.0, limits=ANYWHERE, margin=0.1, widen=0.5)
    assert rate.high == pytest.approx(1e-1, rel=0.05)
    assert clip.high == pytest.approx(15, abs=0.1)


def test_a_whole_number_on_a_logarithmic_scale_goes_down_to_1_and_no_further() -> None:
    region = region_of(whole(1, 40, log=True), [1, 2], 1, limits=Limits(low=0), margin=0.1, widen=0.5)
    assert (region.low, region.passed, region.blocked) == (1, (), ("low",))
    region = region_of(whole(2, 40, log=True), [2, 3], 2, limits=Limits(low=0), margin=0.1, widen=0.5)
    assert (region.low, region.passed, region.blocked) == (1, ("low",), ())


@pytest.mark.parametrize(
    ("parameter", "last", "wider"),
    [(whole(16, 100, step=32), 80, 112), (real(0.0, 0.5, step=0.2), 0.4, 0.6), (real(0.1, 0.7, step=0.4), 0.5, 0.9)],
    ids=str,
)
def test_the_last_step_is_the_bound_of_a_range_that_does_not_end_on_one(
    parameter: Float | Int, last: float, wider: float
) -> None:
    assert on_bound(parameter, last) == "high"
    region = region_of(parameter, [last], last, limits=ANYWHERE, margin=0.1, widen=0.5)
    assert (region.high, region.passed, region.blocked) == (wider, ("high",), ())
    inside = region_of(parameter, [parameter.low, last], parameter.low, limits=ANYWHERE, margin=0.1, widen=0)
    assert inside.high == parameter.high  # as it was written


@pytest.mark.parametrize(
    ("parameter", "limits", "wider"),
    [
        (whole(16, 128, step=8), Limits(low=1), (8, 128)),
        (real(0.25, 0.95, step=0.1), Limits(low=0), (0.05, 0.95)),
        (real(0.05, 0.65, step=0.3), Limits(high=1), (0.05, 0.95)),
        (real(0.05, 0.65, step=0.3), Limits(high=0.95, high_open=True), None),
        (whole(16, 128, step=16), Limits(low=1), None),
        (real(0.3, 0.9), Limits(low=0.1234567), (0.124, 0.9)),
    ],
    ids=str,
)
def test_up_to_a_limit_between_two_steps_the_last_step_before_it_is_gone(
    parameter: Float | Int, limits: Limits, wider: tuple[float, float] | None
) -> None:
    end: End = "low" if math.isfinite(limits.low) else "high"
    best = parameter.low if end == "low" else parameter.last
    values = [parameter.low, parameter.last]
    region = region_of(parameter, values, best, limits=limits, margin=0.1, widen=0.5)
    assert (region.low, region.high) == (wider or (parameter.low, parameter.high))
    assert (region.passed, region.blocked) == (((end,), ()) if wider else ((), (end,)))


def test_where_nothing_is_to_be_widened_no_bound_is_called_a_limit() -> None:
    region = region_of(real(0.0, 0.5), [0.5], 0.5, limits=ANYWHERE, margin=0.1, widen=0)
    assert (region.high, region.passed, region.blocked) == (0.5, (), ())


def test_half_way_is_gone_to_a_limit_that_is_not_allowed_itself() -> None:
    limits = Limits(0.0, 1.0, high_open=True)
    region = region_of(real(0.0, 0.8), [0.8, 0.7], 0.8, limits=limits, margin=0.1, widen=0.5)
    assert 0.9 <= region.high < 1


@pytest.mark.parametrize(
    ("path", "limits"),
    [
        ("model.dropout", Limits(0, 1, high_open=True)),
        ("training.optimiser.lr", Limits(low=0, low_open=True)),
        ("training.optimiser.betas.0", Limits(0, 1, high_open=True)),
        ("training.batch_size", Limits(low=1)),
        ("training.gradient_clip", Limits(low=0, low_open=True)),
        ("pipeline.width", Limits(low=1)),
        ("pipeline.clip_log.low", Limits(-24, 24)),
    ],
)
def test_the_limits_of_a_field_are_those_of_its_validation(path: str, limits: Limits) -> None:
    assert limits_of(BASE, path) == limits


def test_a_field_without_validation_has_no_limits() -> None:
    assert limits_of(BASE, "training.channels_last") == Limits(-math.inf, math.inf)
