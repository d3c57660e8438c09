"""Mirror images of a head: left and right exchanged, or front and back."""

from collections.abc import Callable, Mapping

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.montage import Bipolar, Flip, mirrored_electrodes
from hms_search.eeg.shapes import Kind


def flipped(recordings: Mapping[Kind, Tensor], how: Flip) -> dict[Kind, Tensor]:
    """Return recordings of the mirrored heads.

    The regions of a spectrogram run from front to back, so exchanging these leaves it as it is (15th place).
    """
    mirror: Mapping[Kind, Callable[[Tensor], Tensor]] = {
        "eeg": lambda x: flipped_eeg(x, how),
        "spectrogram": mirrored if how == "left_right" else torch.clone,
        "fft": lambda x: flipped_fft(x, how),
    }
    return {kind: mirror[kind](x) for kind, x in recordings.items()}


def flipped_eeg(eeg: Float[Tensor, "batch time 20"], how: Flip) -> Float[Tensor, "batch time 20"]:
    """Return recordings with electrodes exchanged; those between the two sides and the EKG as they were."""
    return eeg.index_select(2, torch.tensor(mirrored_electrodes(how), device=eeg.device))


def flipped_fft(samples: Float[Tensor, "batch sample 20 24"], how: Flip) -> Float[Tensor, "batch sample 20 24"]:
    """Return FFT samples with derivations exchanged; magnitudes have no sign, so a derivation is also its reverse."""
    partners = mirrored_electrodes(how)
    pairs = [frozenset(map(ELECTRODES.index, name.split("-"))) for name in Bipolar(name="tuh20").derivations]
    order = [pairs.index(frozenset(partners[electrode] for electrode in pair)) for pair in pairs]
    return samples.index_select(2, torch.tensor(order, device=samples.device))


def mirrored(log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch time 400"]:
    """Return recordings with left and right exchanged: LL with RL and LP with RP, frequencies as they were.

    Columns are LL, RL, LP, RP x 100 frequencies, in the order of the file. Mirroring twice is the identity.
    """
    sides = rearrange(log_power, "batch time (chain side freq) -> batch time chain side freq", chain=2, side=2)
    return rearrange(sides.flip(3), "batch time chain side freq -> batch time (chain side freq)")
