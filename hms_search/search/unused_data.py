"""Prepared recordings, and representations baked beside them, that no study of a storage reads.

A study's sessions may each have their own copy of its recordings (``--data``); its contract names their content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna

from hms_search.data.baked import baked_part
from hms_search.data.index import BAKED, read_manifest
from hms_search.data.store import Store, baked_file, samples_fingerprint
from hms_search.errors import DataError
from hms_search.search.locks import locked
from hms_search.search.places import Places
from hms_search.search.retention import IN_USE, Held
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import CONFIG_KEY, CONTRACT_KEY


def unused_data(storage: optuna.storages.BaseStorage, places: Places) -> Iterator[Held]:
    """Give the prepared recordings of a working directory, and their baked representations.

    What no study of the storage was run on may go; it can be made again from the recordings. All locks of the working
    directory are held meanwhile; while anything runs, all is kept.
    """
    stored = [one.user_attrs for one in storage.get_all_studies() if CONFIG_KEY in one.user_attrs]
    studies = [
        _Reader(StudyConfig.model_validate(one[CONFIG_KEY]), one.get(CONTRACT_KEY, {}).get("data")) for one in stored
    ]
    stores = places.root / "stores"
    with locked(*sorted(places.lock("any").parent.glob("*.lock"))) as free:
        for folder in sorted(stores.iterdir()) if stores.is_dir() else ():
            users = [study.config for study in studies if study.reads(folder, places)]
            if not free:
                yield Held.at(folder, may_go=False, reason=IN_USE)
            elif not users:
                yield Held.at(folder, may_go=True, reason="no study was run on these recordings")
            else:
                yield Held.at(folder, may_go=False, reason=f"study {', '.join(study.name for study in users)}")
                yield from _unused_images(folder, users)


@dataclass(frozen=True)
class _Reader:
    """A study, and the fingerprint of the samples that it was run on; None where none was kept."""

    config: StudyConfig
    samples: str | None

    def reads(self, folder: Path, places: Places) -> bool:
        """Say whether prepared recordings are those of its data folder, or such as it was run on."""
        data, pipeline = self.config.data, self.config.space.base.pipeline
        if self.config.task != "hms":
            return False
        if places.prepared(self.config.task, data) == folder:
            return True
        manifest = read_manifest(folder)
        if manifest is None:
            return False
        part = baked_part(pipeline) if data.baked else None
        return samples_fingerprint(manifest["content"], data.sampling, pipeline.kinds, part) == self.samples


def _unused_images(folder: Path, users: list[StudyConfig]) -> Iterator[Held]:
    images = sorted((folder / BAKED).glob("*.npy"))
    readers = {file: study.name for study in users if images and (file := _images_of(study, folder)) is not None}
    for file in images:
        used = readers.get(file)
        yield Held.at(file, may_go=used is None, reason=f"study {used}" if used else "no study reads these images")


def _images_of(study: StudyConfig, folder: Path) -> Path | None:
    """Return the baked images that a study reads, if any."""
    pipeline = study.space.base.pipeline
    part = baked_part(pipeline) if study.data.baked else None
    if part is None:
        return None
    try:
        store = Store.open(folder, study.data.sampling, kinds=pipeline.kinds)
    except DataError:  # its recordings are to be prepared again, and its images with them
        return None
    return baked_file(folder, store.fingerprint, part)
