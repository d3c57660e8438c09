"""Component: the frozen, typed configuration object everything here is built from.

A component is its config and its behaviour: signal steps are called; models, optimisers and schedules have ``build``.
A union of components, told apart by ``name``, is the registry of an option: a new option is one class and its place in
the union.
"""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Component(BaseModel):
    """A frozen configuration; unknown keys are refused, NaN and infinity too.

    Two components with the same fields are equal, hash equally and share their :meth:`fingerprint`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """Return the full configuration, defaults included, as plain JSON types."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Return 12 hex digits that name this configuration: the SHA-256 of its canonical JSON."""
        return fingerprint_of(self.to_dict())


def fingerprint_of(document: Any) -> str:
    """Return 12 hex digits of the SHA-256 of a JSON document with sorted keys."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
