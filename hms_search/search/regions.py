"""Where in a number's range the good trials lie, in the number's own scale: logarithmic, linear, stepped or whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hms_search.search.field_limits import Limits
from hms_search.search.space import Float, Int, at_step

Number = Float | Int
End = Literal["low", "high"]

ON_BOUND = 0.05
"""A value lies on a bound where it is nearer to it than this share of the range."""
_READABLE = 0.01
"""Bounds are rounded outwards by at most this share of the new range, so that a person can read them."""


@dataclass(frozen=True)
class Region:
    """New bounds of a number, the old bounds that they go beyond, and those that are limits of the field."""

    low: float
    high: float
    passed: tuple[End, ...] = ()
    blocked: tuple[End, ...] = ()


def region_of(
    parameter: Number, values: Sequence[float], best: float, *, limits: Limits, margin: float, widen: float
) -> Region:
    """Return the range of ``values`` with a margin inside the old range, and beyond it where the best is on a bound.

    Parameters
    ----------
    values, best
        The good trials' values, and the best one's among them.
    limits
        What the field accepts; half way to it where the limit itself is not accepted. A bound that is rounded outwards
        beyond it is rounded inwards.
    margin, widen
        Shares of the old range, measured in the parameter's own scale.
    """
    scale = _Scale(parameter)
    low, high = scale.to(parameter.low), scale.to(parameter.last)
    width = high - low
    if width == 0:
        return Region(parameter.low, parameter.high)
    on = on_bound(parameter, best)
    wanted_low = max(low, scale.to(min(values)) - margin * width)
    wanted_high = min(high, scale.to(max(values)) + margin * width)
    if on == "low":
        wanted_low = max(low - widen * width, _reachable(low, scale.limit(limits.low), limits.low_open))
    if on == "high":
        wanted_high = min(high + widen * width, _reachable(high, scale.limit(limits.high), limits.high_open))
    quantum = _READABLE * max(wanted_high - wanted_low, _READABLE * width)
    lows = scale.below(wanted_low, quantum), scale.above(wanted_low, quantum)
    highs = scale.above(wanted_high, quantum), scale.below(wanted_high, quantum)
    new_low, new_high = parameter.low, parameter.high
    if wanted_low < low:
        new_low = min(new_low, next(filter(limits.accept, lows), new_low))
    elif wanted_low > low:
        new_low = max(new_low, lows[0])
    if wanted_high > high:
        new_high = max(new_high, next(filter(limits.accept, highs), new_high))
    elif wanted_high < high:
        new_high = min(new_high, highs[0])
    ends: tuple[End, ...] = () if on is None or widen == 0 else (on,)
    passed = new_low < parameter.low or new_high > parameter.high
    return Region(new_low, new_high, ends if passed else (), () if passed else ends)


def on_bound(parameter: Number, value: float) -> End | None:
    """Return which bound a value lies on, in the parameter's own scale; None inside the range."""
    place = place_in(parameter, value)
    if place <= ON_BOUND:
        return "low"
    return "high" if place >= 1 - ON_BOUND else None


def place_in(parameter: Number, value: float) -> float:
    """Return where in its range a value lies, in the parameter's own scale: 0 at its first value, 1 at its last."""
    scale = _Scale(parameter)
    low, high = scale.to(parameter.low), scale.to(parameter.last)
    return (scale.to(value) - low) / (high - low) if high > low else 0.5


def _reachable(bound: float, limit: float, is_open: bool) -> float:
    """Return how far a bound may go towards a limit."""
    return (bound + limit) / 2 if is_open else limit


@dataclass(frozen=True)
class _Scale:
    """A parameter's own scale: its logarithm, or itself."""

    parameter: Number

    def to(self, value: float) -> float:
        return math.log(value) if self.parameter.log else float(value)

    def limit(self, value: float) -> float:
        """Return a limit's place, which in a logarithmic scale may be infinitely far."""
        return self.to(value) if not self.parameter.log or value > 0 else -math.inf

    def below(self, place: float, quantum: float) -> float:
        """Return a value the parameter may have (or a readable one) at a place of the scale or just below."""
        value = -self._above(-place, quantum, sign=-1)
        return max(value, 1) if self.parameter.log and isinstance(self.parameter, Int) else value

    def above(self, place: float, quantum: float) -> float:
        """Return a value the parameter may have (or a readable one) at a place of the scale or just above."""
        return self._above(place, quantum, sign=1)

    def _above(self, place: float, quantum: float, *, sign: int) -> float:
        """Return ``sign`` times the value at ``sign * place``, rounded away from the range's middle."""
        value = sign * (math.exp(sign * place) if self.parameter.log else sign * place)
        step = self.parameter.step
        if step is not None and not self.parameter.log:
            steps = math.ceil((value - sign * self.parameter.low) / step - _ROUNDING)
            return sign * at_step(self.parameter, sign * steps)
        if isinstance(self.parameter, Int):
            return math.ceil(value - _ROUNDING)
        size = quantum * abs(value) if self.parameter.log else quantum
        digits = math.ceil(-math.log10(size))
        return round(math.ceil(value * 10.0**digits - _ROUNDING) / 10.0**digits, max(0, digits))


_ROUNDING = 1e-9
"""What the arithmetic of a scale may be off by, relative to a step."""
