"""Checkpoints: how an interrupted fold goes on after its last finished epoch, to the same result."""

import io
import pickle
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hms_search.data.atomic import replacing
from hms_search.data.disk import telling_of_disk
from hms_search.errors import CheckpointError

_SEAL = b"hms-search checkpoint "
_CRC_BYTES = 4
_AT_A_TIME = 2**24


@dataclass(frozen=True)
class Checkpoint:
    """One file with tensors, numbers, text, lists and mappings of them; nothing in it is executed when it is read.

    ``identity`` names the experiment it belongs to: a file of another experiment is refused. A seal at its end tells a
    file that was changed since: PyTorch reads changed weights without a word.
    """

    path: Path
    identity: str

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file as a whole: a process killed meanwhile leaves the one from before, as does a full disk.

        Raises DiskError where it cannot be written.
        """
        folder = self.path.parent
        with telling_of_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as partial, telling_of_disk(folder):  # asked while the partial file takes its room
            torch.save({"identity": self.identity, "state": dict(state)}, partial)
            with partial.open("r+b") as file:
                file.write(_seal(iter(lambda: file.read(_AT_A_TIME), b"")))

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, on the CPU; None where nothing was.

        Raises CheckpointError where the file is damaged or belongs to another experiment.
        """
        if not self.path.is_file():
            return None
        try:
            content = torch.load(io.BytesIO(self._unsealed()), map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
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

    def is_own(self) -> bool:
        """Say whether something of this very experiment was saved here; what is damaged may be anybody's."""
        try:
            return self.load() is not None
        except CheckpointError:
            return False

    def _unsealed(self) -> memoryview:
        """Return the file's content without its seal; raises ValueError where that is another's, or missing."""
        content = memoryview(self.path.read_bytes())
        end = max(0, len(content) - len(_SEAL) - _CRC_BYTES)
        if content[end:] != _seal([content[:end]]):
            raise ValueError("it was cut or changed since it was written")
        return content[:end]


def _seal(parts: Iterable[bytes | memoryview]) -> bytes:
    """Return what stands at the end of a file: CRC-32 costs a sixth of writing it and misses one accident in 2^32."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return _SEAL + crc.to_bytes(_CRC_BYTES, "big")
