"""Montages: which weighted sums of the 20 electrodes become the signals that are looked at.

A montage is a matrix, so a batch of recordings passes it in one product, in microvolts as before. A missing sample
(NaN) of one electrode would spoil every derivation at that instant, also those with weight 0 for it: fill gaps before.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field
from hms_search.eeg.electrodes import ELECTRODES, SCALP

_LEFT_LATERAL = "Fp1-F7 F7-T3 T3-T5 T5-O1"
_LEFT_PARASAGITTAL = "Fp1-F3 F3-C3 C3-P3 P3-O1"
_RIGHT_LATERAL = "Fp2-F8 F8-T4 T4-T6 T6-O2"
_RIGHT_PARASAGITTAL = "Fp2-F4 F4-C4 C4-P4 P4-O2"
_BIPOLAR: dict[str, tuple[str, ...]] = {
    # His labels are LL, LP, RP, RR. RP is the right *lateral* chain and RR the right parasagittal one, while the files'
    # RP is the right parasagittal region. Radboud's labels are the anatomical ones.
    "deotte": (_LEFT_LATERAL, _LEFT_PARASAGITTAL, _RIGHT_LATERAL, _RIGHT_PARASAGITTAL),
    "radboud": (_LEFT_LATERAL, _LEFT_PARASAGITTAL, _RIGHT_PARASAGITTAL, _RIGHT_LATERAL),
    "double_banana": (_LEFT_LATERAL, _RIGHT_LATERAL, _LEFT_PARASAGITTAL, _RIGHT_PARASAGITTAL, "Fz-Cz Cz-Pz"),
    "double_banana_16": (_LEFT_LATERAL, _RIGHT_LATERAL, _LEFT_PARASAGITTAL, _RIGHT_PARASAGITTAL),
    "interleaved16": (
        "Fp1-F7 Fp2-F8 F7-T3 F8-T4 T3-T5 T4-T6 T5-O1 T6-O2",
        "Fp1-F3 Fp2-F4 F3-C3 F4-C4 C3-P3 C4-P4 P3-O1 P4-O2",
    ),
    "place15": (
        *("O1-T5 T5-T3 T3-F7 F7-Fp1", "O2-T6 T6-T4 T4-F8 F8-Fp2"),
        *("O1-P3 P3-C3 C3-F3 F3-Fp1", "O2-P4 P4-C4 C4-F4 F4-Fp2"),
        "Fz-F7 Fz-F8 Cz-T3 Cz-T4 Pz-T5 Pz-T6 P3-P4 F3-F4",
    ),
    "place15_early": ("O1-T3 T3-Fp1", "O1-C3 C3-Fp1", "O2-T4 T4-Fp2", "O2-C4 C4-Fp2"),
    "wavenet8": ("Fp1-T3 T3-O1", "Fp1-C3 C3-O1", "Fp2-C4 C4-O2", "Fp2-T4 T4-O2"),
    "tuh20": (_LEFT_LATERAL, _RIGHT_LATERAL, "T3-C3 C3-Cz Cz-C4 C4-T4", _LEFT_PARASAGITTAL, _RIGHT_PARASAGITTAL),
    "transverse": (
        *("F7-Fp1 Fp1-Fp2 Fp2-F8", "F7-F3 F3-Fz Fz-F4 F4-F8", "T3-C3 C3-Cz Cz-C4 C4-T4"),
        *("T5-P3 P3-Pz Pz-P4 P4-T6", "T5-O1 O1-O2 O2-T6"),
    ),
}
_MIRRORED = {
    "left_right": "Fp1/Fp2 F3/F4 F7/F8 C3/C4 T3/T4 P3/P4 T5/T6 O1/O2",
    "front_back": "Fp1/O1 Fp2/O2 F3/P3 F4/P4 F7/T5 F8/T6 Fz/Pz",
}


Flip = Literal["left_right", "front_back"]
"""Which sides of a head are exchanged."""


class Bipolar(Component):
    """Differences of two electrodes each, first minus second.

    Attributes
    ----------
    name
        ``deotte``: four chains of four, left lateral, left parasagittal, right lateral, right parasagittal, front to
        back (Deotte's EEG spectrograms). ``radboud``: the same from left to right, the right parasagittal chain before
        the right lateral one (Radboud's).
        ``double_banana``, ``double_banana_16``: the same chains in the order of the files' regions LL, RL, LP, RP, with
        and without the two midline differences.
        ``interleaved16``: the same 16, left and right in turn (3rd place).
        ``place15``: 24, the chains back to front and eight transverse ones; ``place15_early``: the eight before that.
        ``wavenet8``: four chains of two (Deotte's WaveNet).
        ``tuh20``: 20, the chains and the coronal line through Cz (TUH seizure corpus, hackathon).
        ``transverse``: the five coronal lines of 18 (American Clinical Neurophysiology Society, guideline 3).
    """

    name: Literal[
        "deotte",
        "radboud",
        "double_banana",
        "double_banana_16",
        "interleaved16",
        "place15",
        "place15_early",
        "wavenet8",
        "tuh20",
        "transverse",
    ] = "deotte"

    @property
    def derivations(self) -> tuple[str, ...]:
        """The differences' names, as ``Fp1-F7``."""
        return tuple(" ".join(_BIPOLAR[self.name]).split())

    @property
    def chains(self) -> tuple[tuple[int, ...], ...]:
        """Which derivations follow one another, each starting at the electrode where the one before ends."""
        return _chains(self.derivations)

    def matrix(self) -> Float[Tensor, "derivation 20"]:
        """Return the weights: 1 for the first electrode of a derivation, -1 for the second."""
        weights = torch.eye(len(ELECTRODES))
        pairs = [derivation.split("-") for derivation in self.derivations]
        return torch.stack([weights[ELECTRODES.index(a)] - weights[ELECTRODES.index(b)] for a, b in pairs])


class Average(Component):
    """The 19 scalp electrodes against their common average; the EKG is left out of both."""

    name: Literal["average"] = "average"

    @property
    def derivations(self) -> tuple[str, ...]:
        """The signals' names, as ``Fp1-Av``."""
        return tuple(f"{electrode}-Av" for electrode in SCALP)

    @property
    def chains(self) -> tuple[tuple[int, ...], ...]:
        """None: no derivation starts where another ends."""
        return ()

    def matrix(self) -> Float[Tensor, "derivation 20"]:
        """Return the weights: 18/19 for the electrode itself, -1/19 for the other 18."""
        weights = torch.zeros(len(SCALP), len(ELECTRODES))
        weights[:, : len(SCALP)] = torch.eye(len(SCALP)) - 1 / len(SCALP)
        return weights


class Electrodes(Component):
    """The electrodes as they were recorded, without or with the EKG."""

    name: Literal["electrodes"] = "electrodes"
    ekg: bool = False

    @property
    def derivations(self) -> tuple[str, ...]:
        """The electrodes' names."""
        return ELECTRODES if self.ekg else SCALP

    @property
    def chains(self) -> tuple[tuple[int, ...], ...]:
        """None: no derivation starts where another ends."""
        return ()

    def matrix(self) -> Float[Tensor, "derivation 20"]:
        """Return the first rows of the unit matrix."""
        return torch.eye(len(ELECTRODES))[: len(self.derivations)]


Montage = Annotated[Bipolar | Average | Electrodes, Field(discriminator="name")]
"""Every montage; a new one is a line of the bipolar ones' table or a class here and its place in this union."""


def derive(
    eeg: Float[Tensor, "batch time 20"], matrix: Float[Tensor, "derivation 20"]
) -> Float[Tensor, "batch derivation time"]:
    """Return the derivations of recordings without gaps, in their unit, by one matrix product."""
    return matrix @ eeg.mT


def mirrored_electrodes(kind: Flip) -> tuple[int, ...]:
    """Return which electrode takes the place of each of the 20 in the mirror image of the head (15th place).

    ``eeg[..., mirrored_electrodes(kind)]`` is the recording of the mirrored head; twice is the identity. The midline
    (``left_right``), the coronal line through Cz (``front_back``) and the EKG stay.
    """
    partners = {electrode: electrode for electrode in ELECTRODES}
    for pair in _MIRRORED[kind].split():
        one, other = pair.split("/")
        partners |= {one: other, other: one}
    return tuple(ELECTRODES.index(partners[electrode]) for electrode in ELECTRODES)


def _chains(derivations: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    chains: list[list[int]] = []
    for number, derivation in enumerate(derivations):
        start = derivation.split("-")[0]
        before = next((chain for chain in chains if derivations[chain[-1]].split("-")[1] == start), None)
        if before is None:
            chains.append([number])
        else:
            before.append(number)
    return tuple(tuple(chain) for chain in chains if len(chain) > 1)
