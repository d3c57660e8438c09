"""The tables of a Store: which rows of ``train.csv`` it holds, where each recording lies, and what was refused.

``index.parquet``       one line per accepted row: ids, patient, offsets, votes, stratum, line numbers of its recordings
``recordings.parquet``  one line per stored recording: kind, id, shard, first row, rows, missing share, digest
``counts.npy``          the log-power histogram of each stored spectrogram, in the order of ``recordings.parquet``
``rejected.csv``        every refused row and file with the reason
``store.json``          format, key of the source, fingerprint of the content, figures; written last
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hms_search.data.atomic import replacing, write_array
from hms_search.data.hms import KINDS, OFFSET_COLUMNS
from hms_search.data.labels import HIGH_VOTES, VOTE_COLUMNS
from hms_search.data.shards import Shard, ShardTask
from hms_search.errors import DataError

FORMAT = 1
"""Raised whenever the files of a Store change meaning, so that older Stores are prepared anew."""
MANIFEST, REJECTED, HISTOGRAMS, BAKED = "store.json", "rejected.csv", "histograms", "baked"


@dataclass(frozen=True)
class Rejection:
    """A refused row, eeg or spectrogram (``kind``), by its label or recording id, or its line of ``train.csv``."""

    kind: str
    id: str
    reason: str


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return ``store.json``, or None where there is no Store or one of another format."""
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if manifest.get("format") == FORMAT else None


def read_rejected(path: Path) -> tuple[Rejection, ...]:
    """Return what preparing the Store refused."""
    lines = pd.read_csv(path / REJECTED, dtype=str, keep_default_na=False)
    return tuple(Rejection(*line) for line in lines.itertuples(index=False, name=None))


def refused_rows(table: pd.DataFrame) -> list[Rejection]:
    """Return the rows that :func:`hms_search.data.hms.read_table` found unusable."""
    faulty = table[table["fault"] != ""]
    return [
        Rejection("row", str(label) if pd.notna(label) else f"line {int(str(line)) + 2}", str(fault))
        for line, label, fault in zip(faulty.index, faulty["label_id"], faulty["fault"], strict=True)
    ]


def recordings_table(written: Sequence[tuple[ShardTask, Shard]]) -> pd.DataFrame:
    """Return one line per stored recording, in the order of the shards."""
    parts = [
        pd.DataFrame(
            {
                "kind": task.kind,
                "id": shard.ids,
                "shard": task.name,
                "start": np.cumsum(shard.lengths) - shard.lengths,
                "length": shard.lengths,
                "nan_share": shard.nan_shares,
                "digest": shard.digests.astype(str),
            }
        )
        for task, shard in written
        if len(shard.ids)
    ]
    if not parts:
        return pd.DataFrame({"kind": [], "id": []})
    return pd.concat(parts, ignore_index=True)


def index_table(table: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the accepted rows; ``eeg`` and ``spectrogram`` number the recordings of each kind, -1 where none is."""
    good = table[table["fault"] == ""].sort_values("label_id")
    index = pd.DataFrame({name: good[name] for name in ("label_id", "patient_id")}).astype("int64")
    for kind, offset in zip(KINDS, OFFSET_COLUMNS, strict=True):
        index[f"{kind}_id"] = good[f"{kind}_id"]
        index[f"{kind}_offset_s"] = good[offset]
        numbers = pd.Series(
            np.arange((recordings["kind"] == kind).sum()), recordings.loc[recordings["kind"] == kind, "id"]
        )
        index[kind] = good[f"{kind}_id"].map(numbers).fillna(-1).astype("int64")
    votes = good[list(VOTE_COLUMNS)].astype("int64")
    index[list(VOTE_COLUMNS)] = votes
    index["n_votes"] = votes.sum(axis=1)
    index["stratum"] = np.where(index["n_votes"] >= HIGH_VOTES, "high", "low")
    return index.reset_index(drop=True)


def content_fingerprint(index: pd.DataFrame, recordings: pd.DataFrame) -> str:
    """Return 64 hex digits of what the Store holds; places, times and the order of rows are not in it."""
    content = hashlib.sha256(f"format {FORMAT}".encode())
    for line in sorted(recordings["kind"] + recordings["id"].astype(str) + recordings["digest"]):
        content.update(line.encode())
    for name in ("label_id", "patient_id", *(f"{kind}_id" for kind in KINDS), *VOTE_COLUMNS):
        content.update(index[name].fillna(-1).to_numpy(dtype=np.int64).tobytes())
    for kind in KINDS:
        content.update(index[f"{kind}_offset_s"].fillna(-1e9).to_numpy(dtype=np.float64).tobytes())
    return content.hexdigest()


def write_tables(
    out: Path,
    table: pd.DataFrame,
    written: Sequence[tuple[ShardTask, Shard]],
    missing: Sequence[Rejection],
    *,
    key: str,
) -> None:
    """Write all tables of a Store, the manifest last; raises DataError where nothing at all is usable."""
    recordings = recordings_table(written)
    index = index_table(table, recordings)
    rejected = [*refused_rows(table), *missing]
    for task, shard in written:
        rejected += [
            Rejection(task.kind, str(i), str(why)) for i, why in zip(shard.refused_ids, shard.reasons, strict=True)
        ]
    with replacing(out / REJECTED) as partial:
        pd.DataFrame(rejected, columns=["kind", "id", "reason"]).to_csv(partial, index=False)
    if not ((index[list(KINDS)] >= 0).any(axis=None)):
        first = "; ".join(f"{r.kind} {r.id}: {r.reason}" for r in rejected[:3])
        raise DataError(
            f"nothing in {len(table)} rows of train.csv is usable: all {len(rejected)} reasons are in "
            f"{out / REJECTED}, the first: {first}"
        )
    with replacing(out / "index.parquet") as partial:
        index.to_parquet(partial, index=False)
    with replacing(out / "recordings.parquet") as partial:
        recordings.to_parquet(partial, index=False)
    counts = [shard.counts for task, shard in written if task.kind == "spectrogram"]
    write_array(out / "counts.npy", np.concatenate(counts) if counts else np.empty((0, 0), dtype=np.uint32))
    manifest = {
        "format": FORMAT,
        "key": key,
        "content": content_fingerprint(index, recordings),
        "rows": len(table),
        "rejected_rows": int((table["fault"] != "").sum()),
        "recordings": {kind: int((recordings["kind"] == kind).sum()) for kind in KINDS},
        "rejected": len(rejected),
    }
    with replacing(out / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
