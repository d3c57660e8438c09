"""Layouts: how the planes of a representation become the image of a network."""

from typing import Annotated, Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field


class Stack(Component):
    """Planes one below the other, in ``channels`` groups side by side in depth (3: the 3rd place's contrasts)."""

    name: Literal["stack"] = "stack"
    channels: int = Field(1, ge=1)

    def forward(self, planes: Float[Tensor, "batch plane freq frame"]) -> Float[Tensor, "batch channel height frame"]:
        """Return images of plane / channels times freq rows; raises ValueError where planes cannot be shared out."""
        _divides(self.channels, planes.shape[1], "stack", "channels", "planes")
        return rearrange(planes, "batch (channel n) freq frame -> batch channel (n freq) frame", channel=self.channels)


class Channels(Component):
    """Planes as the channels of an image."""

    name: Literal["channels"] = "channels"

    def forward(self, planes: Float[Tensor, "batch plane freq frame"]) -> Float[Tensor, "batch plane freq frame"]:
        """Return the planes as they are."""
        return planes


class Restack(Component):
    """Planes one below the other, then each ``columns`` successive rows as one (15th place).

    With two columns, row r is [old row 2r | old row 2r + 1]: even bins on the left, odd ones on the right.
    """

    name: Literal["restack"] = "restack"
    columns: int = Field(2, ge=1)

    def forward(self, planes: Float[Tensor, "batch plane freq frame"]) -> Float[Tensor, "batch 1 height width"]:
        """Return images of 1 / columns of the rows and columns times the width; raises ValueError for a remainder."""
        n_rows = planes.shape[1] * planes.shape[2]
        _divides(self.columns, n_rows, "restack", "columns", "rows")
        rows = rearrange(planes, "batch plane freq frame -> batch (plane freq) frame")
        return rearrange(rows, "batch (row column) frame -> batch 1 row (column frame)", column=self.columns)


class Grid(Component):
    """Planes in rows of ``columns``, as one reads (6th place: 4 x 4 of the double banana)."""

    name: Literal["grid"] = "grid"
    columns: int = Field(4, ge=1)

    def forward(self, planes: Float[Tensor, "batch plane freq frame"]) -> Float[Tensor, "batch 1 height width"]:
        """Return the images; raises ValueError where the last row would not be full."""
        _divides(self.columns, planes.shape[1], "grid", "columns", "planes")
        pattern = "batch (row column) freq frame -> batch 1 (row freq) (column frame)"
        return rearrange(planes, pattern, column=self.columns)


Layout = Annotated[Stack | Channels | Restack | Grid, Field(discriminator="name")]
"""Every layout; a new one is a class here and its place in this union."""


def _divides(parts: int, whole: int, layout: str, parts_name: str, whole_name: str) -> None:
    if whole % parts:
        raise ValueError(f"{layout} cannot share {whole} {whole_name} out to {parts} {parts_name} evenly")
