"""How fast synthetic recordings are written by one process, parquet included.

A recording counts as 50 s of EEG with its 10 minutes of spectrogram. Files that hold more (several windows, several
EEG files in one spectrogram) count once: the figure is spectrogram files per second, the smallest of the counts.
Time is the processor time of the one process, so that other work on the machine does not count against it.

Run: ``python benchmarks/synthetic.py``
"""

import json
import tempfile
import time
from pathlib import Path

from hms_search.data.synthetic import write_synthetic

TARGET_PER_S = 4.0
N_PATIENTS = 20


def main() -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic(Path(folder) / "warm-up", n_patients=1, seed=1, workers=1)
        wall, processor = time.perf_counter(), time.process_time()
        report = write_synthetic(Path(folder) / "measured", n_patients=N_PATIENTS, seed=0, workers=1)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{report.spectrograms} spectrogram files, {report.eegs} EEG files, {report.rows} labelled windows")
    print(f"{'written by one process':36} {'per CPU second':>15} {'per wall second':>16}")
    for name, count in (("spectrogram files (>= 10 min)", report.spectrograms), ("EEG files (>= 50 s)", report.eegs)):
        print(f"{name:36} {count / processor:15.1f} {count / wall:16.1f}")
    value = round(report.spectrograms / processor, 2)
    return [
        {
            "name": "synthetic recordings written per second and core",
            "value": value,
            "target": TARGET_PER_S,
            "unit": "recordings/s",
            "holds": value >= TARGET_PER_S,
        }
    ]


if __name__ == "__main__":
    for figure in main():
        print(json.dumps(figure))
