"""What benchmarks print: measured numbers with their targets, one JSON object per line."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number, its target and whether it holds."""

    name: str
    value: float
    target: float
    unit: str
    holds: bool

    def line(self) -> str:
        """Return the figure as JSON."""
        shown = {"value": round(float(self.value), 3), "target": round(self.target, 3), "holds": bool(self.holds)}
        return json.dumps({**vars(self), **shown})


def at_most(name: str, value: float, target: float, unit: str) -> Figure:
    """Return a figure that holds up to its target."""
    return Figure(name, value, target, unit, value <= target)
