"""Checkpoints: how an interrupted fold goes on after its last finished epoch, to the same result."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hms_search.data.atomic import replacing
from hms_search.errors import CheckpointError


@dataclass(frozen=True)
class Checkpoint:
    """One file with tensors, numbers, text, lists and mappings of them; nothing in it is executed when it is read.

    ``identity`` names the experiment it belongs to: a file of another experiment is refused.
    """

    path: Path
    identity: str

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file as a whole: a process killed meanwhile leaves the one from before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as partial:
            torch.save({"identity": self.identity, "state": dict(state)}, partial)

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, on the CPU; None where nothing was.

        Raises CheckpointError where the file is damaged or belongs to another experiment.
        """
        if not self.path.is_file():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(
                f"checkpoint {self.path} is damaged ({reason}); remove it to train the fold again"
            ) from None
        if not isinstance(content, dict) or content.get("identity") != self.identity:
            raise CheckpointError(
                f"checkpoint {self.path} belongs to another configuration, data, folds or seed; "
                "choose another folder, or remove this one to train anew"
            )
        state: dict[str, Any] = content["state"]
        return state
