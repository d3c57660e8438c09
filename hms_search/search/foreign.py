"""Studies in a storage that are none of ours: made by others, or the half of a copy that was broken off."""

from collections.abc import Mapping
from typing import Any

COPIED_KEY = "hms_search:copied"
"""The study attribute of a copy with the fingerprint of what it is of; empty until it is complete."""


def why_foreign(name: str, user_attrs: Mapping[str, Any]) -> str:
    """Return what to say of a study that has no configuration of ours."""
    if user_attrs.get(COPIED_KEY) == "":
        return f"study {name!r} is only partly copied to this storage; repeat the hms-search migrate that copies it"
    return f"study {name!r} was not made by hms-search; give the name of one that was"
