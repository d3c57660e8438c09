"""Methods: how the numbers of a blend are found.

Each has ``fit(rows, *, seed)``, which returns a fitted :data:`hms_search.ensemble.blends.Blend` and looks at nothing
but these rows.
"""

from typing import Annotated

from hms_search.component import Field
from hms_search.ensemble.fit_stacking import Stacking
from hms_search.ensemble.fit_weights import Linear, Mean, NelderMead, Weighted

Method = Annotated[Mean | Weighted | NelderMead | Linear | Stacking, Field(discriminator="name")]


def learns(method: Method) -> bool:
    """Return whether a method looks at the rows it is given, so that it must not be scored on them."""
    return not isinstance(method, Mean | Weighted)
