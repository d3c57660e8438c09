"""``hms-search export``: a model as a folder that predicts in a Kaggle notebook without internet."""

from pathlib import Path

from rich.console import Console

from hms_search.inference.bundle import export_bundle
from hms_search.inference.model_folder import open_model
from hms_search.inference.submission import OUTPUT

_KAGGLE = "on Kaggle: upload the folder as a dataset; "


def export_command(model: Path, target: Path) -> None:
    """Write the bundle of a model folder and say how large it is and how to use it."""
    found = open_model(model)
    export_bundle(found, target)
    files = [file for file in target.rglob("*") if file.is_file()]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    Console(highlight=False, soft_wrap=True, emoji=False).print(
        f"{target}: {found.card.kind} {found.card.name}, {len(files)} files, {megabytes:.1f} MB, checked\n"
        f"try it: python {target / 'predict.py'} --data FOLDER -o {OUTPUT[found.card.task]}\n"
        f"{_KAGGLE if found.card.task == 'hms' else ''}{target / 'README.md'} says how",
        markup=False,
    )
