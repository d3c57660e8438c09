"""Every time-frequency representation of EEG: from derivations to planes of frequency by time."""

from typing import Annotated

from hms_search.component import Field
from hms_search.eeg.mel import ChainMel, LogMel

Representation = Annotated[ChainMel | LogMel, Field(discriminator="name")]
"""Every representation; a new one is a class in a file of its own and its place in this union."""
