"""Predict with the model beside this file; it needs torch, timm, numpy, pandas and pyarrow, and no network.

    python predict.py --data FOLDER -o submission.csv

FOLDER is in the Kaggle layout: test.csv and test_spectrograms/; for a model of seizure types it holds .npy or .npz
files of FFT samples. Each prediction first compares every file of the model and of its code with its checksum;
``--check`` does only that.

Exit codes: 0, done; 3, done, but some recordings could not be read and got the mean of the training rows; 2, an error.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOME_UNREADABLE = 3


def main() -> int:
    """Check the files, predict, and return the exit code."""
    options = _options()
    fault = next(_faults(HERE), None)
    if fault is not None:
        return _error(f"{fault}; copy the bundle again, or export it again")
    if options.check:
        print("every file is as it was exported")
        return 0
    sys.dont_write_bytecode = True  # the bundle may lie on a read-only disk
    sys.path.insert(0, str(HERE / "code"))
    sys.path.append(str(HERE / "vendor"))  # last: what is installed goes first
    return _predict(options)


def _predict(options: argparse.Namespace) -> int:
    from hms_search.errors import HmsSearchError
    from hms_search.inference.predictor import Predictor
    from hms_search.inference.submission import OUTPUT, predict_folder

    try:
        predictor = Predictor.open(HERE, device=options.device)
        found = predict_folder(
            predictor,
            options.data,
            batch_size=options.batch_size,
            tta=options.tta,
            on_progress=lambda step: print(f"{step.done} of {step.total} recordings", file=sys.stderr),
        )
        if found.rows.notice:
            print(f"notice: {found.rows.notice}", file=sys.stderr)
        for recording in found.unreadable:
            print(f"{recording.name} gets the prior: {recording.reason}", file=sys.stderr)
        if found.unreadable and options.strict:
            return _error(f"{len(found.unreadable)} recordings cannot be predicted; nothing was written")
        output = options.output or OUTPUT[predictor.task]
        found.write(output)
    except HmsSearchError as error:
        return _error(str(error))
    print(f"{output}: {len(found.rows)} rows by {predictor.card.name} on {predictor.device}")
    return SOME_UNREADABLE if found.unreadable else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--data", type=Path, help="folder with the recordings")
    task.add_argument("--check", action="store_true", help="only compare every file with its checksum")
    parser.add_argument(
        "-o", "--output", type=Path, help="the file to write; default: submission.csv, of seizures predictions.csv"
    )
    heads = ["own", "none", "left_right", "flips"]
    parser.add_argument("--tta", choices=heads, default="own", help="test-time augmentation; default: the model's own")
    parser.add_argument("--batch-size", type=int, default=16, help="recordings at a time")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--strict", action="store_true", help="fail where a recording cannot be read")
    return parser.parse_args()


def _faults(folder: Path) -> Iterator[str]:
    """Yield what differs from the manifest: files that are missing or changed, and code that does not belong here."""
    manifest = folder / "manifest.json"
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError) as error:
        yield f"{manifest} is missing or damaged ({error})"
        return
    for name, digest in listed.items():
        file = folder / name
        if not file.is_file():
            yield f"{file} is missing"
            continue
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digest:
                yield f"{file} was changed"
    for file in [*folder.glob("code/**/*"), *folder.glob("vendor/**/*")]:
        if file.is_file() and file.suffix != ".pyc" and file.relative_to(folder).as_posix() not in listed:
            yield f"{file} does not belong here"
    for member in sorted(folder.glob("members/*")):
        yield from _faults(member)


def _error(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
