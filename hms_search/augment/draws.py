"""Random numbers for the samples that an augmentation acts on.

All of them come from the generator that is passed, on its device. With a generator on the CPU, a GPU never waits to
hear which samples were drawn; only noise, of the size of the recordings, is drawn where the batch lies.
"""

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hms_search.component import Field

Probability = Annotated[float, Field(ge=0, le=1)]
"""The probability that an augmentation acts on a sample; 0 is the identity to the bit, 1 acts on every sample."""


def acting(p: float, batch_size: int, generator: torch.Generator) -> Int[Tensor, " acting"]:
    """Return the rows of the batch that an augmentation acts on, each drawn with probability ``p``."""
    return (torch.rand(batch_size, generator=generator, device=generator.device) < p).nonzero()[:, 0]


def partners_of(rows: Int[Tensor, " acting"], batch_size: int, generator: torch.Generator) -> Int[Tensor, " acting"]:
    """Return another row of the batch for each of some rows, all others being equally likely."""
    return (rows + integers(1, batch_size - 1, (len(rows),), generator)) % batch_size


def uniform(low: float, high: float, n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Return numbers from U(low, high)."""
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def integers(low: int, high: int, shape: tuple[int, ...], generator: torch.Generator) -> Int[Tensor, "..."]:
    """Return integers from ``low`` to ``high``, both included."""
    return torch.randint(low, high + 1, shape, generator=generator, device=generator.device)


def some_of(items: int, low: int, high: int, n: int, generator: torch.Generator) -> Bool[Tensor, "n items"]:
    """Return for each sample which of ``items`` are drawn: ``low`` to ``high`` different ones, or all there are."""
    counts = integers(min(low, items), min(high, items), (n, 1), generator)
    order = torch.rand(n, items, generator=generator, device=generator.device).argsort(dim=1)
    return order.argsort(dim=1) < counts


def spans(size: int, lengths: Int[Tensor, "n span"], generator: torch.Generator) -> Bool[Tensor, "n span size"]:
    """Return which of ``size`` places each span covers; a span lies wholly inside, anywhere with equal probability."""
    lengths = lengths.clamp(max=size)
    draws = torch.rand(lengths.shape, generator=generator, device=generator.device)
    starts = (draws * (size - lengths + 1)).long()[..., None]
    places = torch.arange(size, device=generator.device)
    return (places >= starts) & (places < starts + lengths[..., None])


def beta(alpha: float, n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Return numbers from Beta(alpha, alpha); PyTorch's own take no generator, so it seeds NumPy's."""
    shares = np.random.default_rng(_seed(generator)).beta(alpha, alpha, n)
    return torch.from_numpy(shares.astype(np.float32)).to(generator.device)


def normal(shape: torch.Size, device: torch.device, generator: torch.Generator) -> Float[Tensor, "..."]:
    """Return standard normal numbers on a device: where the generator is of another, by one that it seeds there.

    These numbers therefore depend on the device, all others only on the generator.
    """
    if generator.device.type != device.type:
        generator = torch.Generator(device).manual_seed(_seed(generator))
    return torch.randn(shape, generator=generator, device=device)


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
