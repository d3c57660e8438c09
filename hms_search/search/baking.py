"""Whether a space's representation can be baked: it must be the same for all trials and made of unchanged signals."""

from hms_search.augment import RecordingAugmentation
from hms_search.data.baked import baked_part
from hms_search.search.space import SearchSpace

_LATER = ("normalise", "resize", "antialias")
"""Fields of an EEG pipeline that act after what is baked."""


def check_baked(space: SearchSpace) -> None:
    """Raise ValueError where ``data.baked`` does not suit a space."""
    if baked_part(space.base.pipeline) is None:
        raise ValueError(
            f"data.baked keeps a representation of EEG, found pipeline.source {space.base.pipeline.source}; set "
            "data.baked: false"
        )
    varied = [path for path in space.parameters if _acts_on_signals(path)]
    if varied:
        raise ValueError(
            f"data.baked needs one representation for all trials, the space varies {', '.join(varied)}; fix it, or set "
            "data.baked: false"
        )
    augmentations = space.base.augmentations
    idle = [one.name for one in augmentations if isinstance(one, RecordingAugmentation) and "eeg" in one.acts_on]
    if idle:
        raise ValueError(
            f"data.baked has no signals left for {', '.join(idle)} to act on; remove them, or set data.baked: false"
        )


def _acts_on_signals(path: str) -> bool:
    """Return whether what a parameter varies comes before the normalisation of EEG."""
    head, *inner = path.split(".")
    if head == "augmentations":
        return not inner  # the list as a whole may bring in any
    if head != "pipeline":
        return False
    if inner[:1] == ["eeg"]:
        inner = inner[1:]
    return not inner or inner[0] not in {*_LATER, "spectrogram", "join"}
