"""``hms-search teach``: teachers for noisy students and pseudo labels."""

from pathlib import Path

from rich.console import Console

from hms_search.cli.progress import StepProgress
from hms_search.cli.promote import print_notice
from hms_search.promotion.teachers import teach
from hms_search.search.places import Places


def teach_command(
    study: str, out: Path | None, places: Places, *, trial: int | None, folds: int | None, data: str | None
) -> None:
    """Train the teachers and say how to use them."""
    console = Console(highlight=False, emoji=False)
    folder = out or places.root / "teachers" / study
    with StepProgress(console) as progress:
        teach(
            study,
            places,
            folder,
            trial=trial,
            n_folds=folds,
            data=data,
            notify=lambda event: print_notice(event, console),
            progress=progress,
        )
    console.print(f"teachers: {folder}", markup=False, soft_wrap=True)
    setting = f"space.base.training.noisy_student={{oof: {folder}, probability: 0.15}}"
    console.print(f'to learn from them: hms-search run STUDY.yaml --set "{setting}"', markup=False, soft_wrap=True)
