"""Registered versions of a study's models, copied from one registry to another, with the names they go by."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hms_search.data.progress import Progress
from hms_search.tracking.mlflow_run import EARLIER_TAG
from hms_search.tracking.registry import ModelRegistry, RegisteredVersion


@dataclass(frozen=True)
class CopiedVersion:
    """A version as it stands in the other registry, whether it was copied now, and what of it could not be kept."""

    version: RegisteredVersion
    number: int
    is_new: bool
    left: tuple[str, ...]


def copy_versions(
    source: ModelRegistry, target: ModelRegistry, ids: Mapping[str, str]
) -> Iterator[tuple[CopiedVersion, Progress]]:
    """Copy the versions that runs of ``ids`` (their new ids by the old ones) have made, the oldest first; give each.

    A version that is there already, by its run, only gets the tags it lacks. An alias is taken from another version
    only where that one was copied, too: with others this registry has not compared it.
    """
    ours = [version for version in source.versions() if version.run_id in ids]
    for place, version in enumerate(ours):
        yield _copied(source, target, version, ids), Progress(place + 1, len(ours))


def _copied(
    source: ModelRegistry, target: ModelRegistry, version: RegisteredVersion, ids: Mapping[str, str]
) -> CopiedVersion:
    known = [one for one in target.versions() if one.name == version.name]
    run_id = ids[version.run_id]
    there = next((one for one in known if one.made_by(run_id)), None)
    if there is None:
        with tempfile.TemporaryDirectory() as folder:
            number = target.receive(version, source.download(version, Path(folder)), run_id)
    else:
        number = there.version
        tags = {key: value for key, value in version.tags.items() if key != EARLIER_TAG and key not in there.tags}
        target.set_tags(version.name, number, tags)
    left = []
    for alias in version.aliases:
        holder = next((one for one in known if alias in one.aliases), None)
        if holder is None or holder.run_id in ids.values():
            target.set_alias(version.name, alias, number)
        else:
            left.append(f"{version.name}@{alias} stays version {holder.version} there, of another study or a later one")
    return CopiedVersion(version, number, there is None, tuple(left))
