"""Speed of ``prepare`` over bare pyarrow reads of the same files.

The recordings are synthetic noise in the Kaggle layout (50 s of EEG and a 10-minute spectrogram per window), written to
a temporary folder. The reference only calls ``pq.read_table(path)`` on the same files, in the same order, with the same
number of processes, which are started the same way and whose start counts on both sides; with one process nothing is
started on either side. Both are timed in turn, in the same run, on files that the page cache holds.

Expected before measuring: about 0.9. Reading takes about 8 ms of a window; conversion, histogram, digest and writing
should take about 2 ms, of which leaner reading (no dataset layer) wins back about 1 ms.

Run: ``python benchmarks/prepare.py [--windows N] [--repeats N]``
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hms_search.data.hms import ELECTRODES, FOLDERS, KINDS, POWERS, TABLE_COLUMNS, recording_path
from hms_search.data.pool import Pool
from hms_search.data.prepare import prepare
from hms_search.data.shards import shard_size

TARGET = 0.7
WORKERS = (1, 2)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Speed of prepare over bare pyarrow reads of the same files.")
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "kaggle"
        write_noise(root, options.windows)
        print(f"{options.windows} windows of synthetic noise, {options.repeats} repeats, medians")
        print(f"{'processes':>9}  {'bare reads/s':>12}  {'prepare/s':>12}  {'ratio':>6}  (windows per second)")
        for workers in WORKERS:
            bare, prepared = medians(root, Path(folder) / f"stores-{workers}", workers, options.repeats)
            ratios[workers] = bare / prepared
            rates = options.windows / bare, options.windows / prepared
            print(f"{workers:>9}  {rates[0]:>12.1f}  {rates[1]:>12.1f}  {ratios[workers]:>6.3f}")
    for workers, ratio in ratios.items():
        name = f"prepare_over_bare_reads_{workers}_processes"
        figure = {"name": name, "value": round(ratio, 3), "target": TARGET, "unit": "ratio", "holds": ratio >= TARGET}
        print(json.dumps(figure))


def medians(root: Path, stores: Path, workers: int, repeats: int) -> tuple[float, float]:
    """Return the seconds of the bare reads and of ``prepare``, timed in turn; the first round is not counted."""
    chunks = chunks_like_shards(root)
    bare, prepared = [], []
    for repeat in range(repeats + 1):
        started = time.perf_counter()
        read_bare(chunks, workers)
        halfway = time.perf_counter()
        prepare(root, stores / str(repeat), workers=workers)
        bare.append(halfway - started)
        prepared.append(time.perf_counter() - halfway)
        shutil.rmtree(stores / str(repeat))
    return statistics.median(bare[1:]), statistics.median(prepared[1:])


def write_noise(root: Path, n_windows: int) -> None:
    """Write a data folder of noise in the Kaggle layout."""
    random = np.random.default_rng(0)
    for folder in FOLDERS.values():
        (root / folder).mkdir(parents=True)
    times = pa.array(np.arange(1, 600, 2))
    rows = []
    for i in range(n_windows):
        signal = random.normal(0, 50, (len(ELECTRODES), 10_000)).astype(np.float32)
        power = np.exp(random.normal(0, 3, (len(POWERS), 300))).astype(np.float32)
        eeg = pa.table([pa.array(channel) for channel in signal], names=list(ELECTRODES))
        spectrogram = pa.table([times, *(pa.array(band) for band in power)], names=["time", *POWERS])
        pq.write_table(eeg, recording_path(root, "eeg", i))
        pq.write_table(spectrogram, recording_path(root, "spectrogram", i))
        rows.append((i, 0, 0.0, i, 0, 0.0, i, i // 2, "Other", 0, 0, 0, 0, 0, 3))
    pd.DataFrame(rows, columns=list(TABLE_COLUMNS)).to_csv(root / "train.csv", index=False)


def chunks_like_shards(root: Path) -> list[list[Path]]:
    """Return the files in the order and portions in which ``prepare`` hands them out."""
    chunks = []
    for kind in KINDS:
        paths = sorted((root / FOLDERS[kind]).iterdir(), key=lambda path: int(path.stem))
        size = shard_size(len(paths))
        chunks += [paths[i : i + size] for i in range(0, len(paths), size)]
    return chunks


def read_bare(chunks: Sequence[list[Path]], workers: int) -> None:
    with Pool(workers) as pool:
        for _ in pool.run(read_chunk, chunks):
            pass


def read_chunk(paths: list[Path]) -> int:
    return sum(pq.read_table(path).num_rows for path in paths)


if __name__ == "__main__":
    main(sys.argv[1:])
