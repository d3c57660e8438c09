"""``hms-search predict`` and ``check-submission``: a submission written, and one looked at."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hms_search.cli.progress import StepProgress
from hms_search.data.seizure_reading import read_seizure_samples
from hms_search.data.submission import check_submission
from hms_search.data.unlabelled import open_unlabelled
from hms_search.errors import DataError
from hms_search.inference.model_folder import ModelCard
from hms_search.inference.predictor import Predictor, Tta
from hms_search.inference.submission import OUTPUT, Unreadable, predict_folder
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS, Task

SOME_UNREADABLE = 3
"""The exit code of a submission in which some recordings got the prior."""
_SYNTHETIC = "the model was trained on synthetic recordings: what it predicts says nothing about real EEG"


def predict_command(
    model: Path, root: Path, out: Path | None, *, tta: Tta, batch_size: int, device: str, strict: bool
) -> int:
    """Write the predictions of a folder's recordings and say what they are; return the exit code.

    With ``strict``, raises DataError, and writes nothing, where a recording cannot be predicted.
    """
    predictor = Predictor.open(model, device=device)
    errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    with StepProgress(errors) as progress:
        submission = predict_folder(
            predictor,
            root,
            batch_size=batch_size,
            tta=tta,
            read=read_seizure_samples,
            on_progress=lambda step: progress(f"predicting {root}", step),
        )
    if strict and submission.unreadable:
        raise DataError(
            f"{len(submission.unreadable)} of {len(submission.rows)} recordings cannot be predicted, nothing was "
            f"written; mend them, or leave out --strict:\n{_listed(submission.unreadable)}"
        )
    out = out or OUTPUT[predictor.task]
    submission.write(out)
    for notice in (
        submission.rows.notice,
        _SYNTHETIC if predictor.card.origin.get("recordings") == "synthetic" else "",
    ):
        if notice:
            errors.print(f"note: {notice}", style="yellow", markup=False)
    if submission.unreadable:
        errors.print("these recordings got the model's prior, the mean of its training targets:", style="yellow")
        errors.print(_listed(submission.unreadable), markup=False)
    priors = f", {len(submission.unreadable)} of them the prior" if submission.unreadable else ""
    heads = predictor.card.tta if tta == "own" else tta
    Console(highlight=False, soft_wrap=True, emoji=False).print(
        f"{out}: {len(submission.rows)} rows{priors}, by {_described(predictor.card)}, TTA {heads}", markup=False
    )
    return SOME_UNREADABLE if submission.unreadable else 0


def check_command(file: Path, root: Path) -> None:
    """Say that a submission would be scored; raises DataError that lists every rule it breaks."""
    table = check_submission(file, open_unlabelled(root).eeg_ids)
    Console(highlight=False, soft_wrap=True, emoji=False).print(
        f"{file}: {len(table)} rows, would be scored", markup=False
    )


def _listed(unreadable: Sequence[Unreadable]) -> str:
    return "\n".join(f"  {one.name}: {one.reason}" for one in unreadable)


def _described(card: ModelCard) -> str:
    """Return what a model is and how well it did on recordings it had not seen, on each stratum or level of folds."""
    task = TASKS[card.task]
    parts = f"{len(card.members)} members" if card.members else f"{len(card.networks)} networks"
    scores = [
        _score(card, task, stratum) for stratum in task.strata if task.metric.format(stratum=stratum) in card.scores
    ]
    scores += [f"{card.scores[name]:.4f} by {level}" for level, name in task.levels.items() if name in card.scores]
    return f"{card.kind} {card.name} ({parts}; out-of-fold {task.symbol} {', '.join(scores) or 'unknown'})"


def _score(card: ModelCard, task: Task, stratum: Stratum) -> str:
    ends = [card.scores.get(end) for end in task.interval]
    of_the_objective = stratum == card.origin.get("objective") and None not in ends
    interval = f" [{ends[0]:.4f}, {ends[1]:.4f}]" if of_the_objective else ""
    of = "of all files" if task.levels else f"on {stratum} votes"
    return f"{card.scores[task.metric.format(stratum=stratum)]:.4f}{interval} {of}"
