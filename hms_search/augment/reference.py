"""What all electrodes have in common, so that changing one leaves nothing of it in the differences with the others."""

from jaxtyping import Float
from torch import Tensor

from hms_search.eeg.electrodes import SCALP


def common_part(eeg: Float[Tensor, "batch time 20"]) -> Float[Tensor, "batch time 1"]:
    """Return the median of the 19 scalp electrodes at each time, float32; NaN where all of them are missing.

    Recordings are against a reference that every electrode shares. In real ones (IIIC) its standard deviation reaches
    300 microvolts where the electrodes' own is 20: an electrode set to 0 microvolts would show it in all its
    differences. The median, unlike the common average, holds nothing of one electrode that has come off.
    """
    return eeg[..., : len(SCALP)].float().nanmedian(dim=2, keepdim=True).values
