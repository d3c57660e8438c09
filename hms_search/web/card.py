"""The panel that says what a model is, how well it did, and what it is for."""

import json
from collections.abc import Iterable, Mapping
from html import escape

from hms_search.inference.model_folder import ModelCard, ModelFolder
from hms_search.training.tasks import TASKS, Task
from hms_search.web.markup import table_html

INTENDED_USE = "For research, not for diagnosis: nothing this model says may decide about a patient."
_SYNTHETIC = "It was trained on synthetic recordings: what it says means nothing for real EEG."
_ROWS: Mapping[str, str] = {
    "kl_all": "all",
    "kl_high": "10 votes or more",
    "kl_low": "fewer than 10 votes",
    "weighted_f1_by_file": "by file: mean over folds of files, as published; the patients had been seen",
    "weighted_f1_by_patient": "by patient: mean over folds of patients",
    "weighted_f1": "all files, predicted on folds of patients",
}
"""Of what recordings a score is."""


def card_html(folder: ModelFolder) -> str:
    """Return the card of a model as HTML: use, scores with their interval, origin, and its configuration."""
    card = folder.card
    notes = [INTENDED_USE, _SYNTHETIC] if card.origin.get("recordings") == "synthetic" else [INTENDED_USE]
    task = TASKS[card.task]
    better = "lower" if task.direction == "minimize" else "higher"
    parts = f"{len(card.members)} members" if card.members else f"{len(card.networks)} networks"
    return "\n".join(
        [
            f"<h3>{escape(card.name)}</h3><p>{escape(card.kind)}, {parts}</p>",
            *(f"<p><strong>{note}</strong></p>" for note in notes),
            f"<h4>Score on recordings it had not seen, {better} is better</h4>",
            table_html(
                ("recordings", f"{task.measure}, out of fold", "95 % interval over patients"), _scores(card, task)
            ),
            "<h4>Origin</h4>",
            table_html((), card.origin.items()),
            "<h4>Configuration</h4>",
            *_configurations(folder),
        ]
    )


def _scores(card: ModelCard, task: Task) -> Iterable[tuple[str, str, str]]:
    """Yield a row for each score; the interval is of the one that the model was chosen on."""
    ends = [card.scores.get(end) for end in task.interval]
    objective = task.metric.format(stratum=card.origin.get("objective"))
    for name in (*task.levels.values(), *(task.metric.format(stratum=stratum) for stratum in task.strata)):
        score = card.scores.get(name)
        known = name == objective and None not in ends
        interval = f"{ends[0]:.4f} to {ends[1]:.4f}" if known else "not recorded"
        yield _ROWS[name], "not recorded" if score is None else f"{score:.4f}", interval


def _configurations(folder: ModelFolder) -> Iterable[str]:
    """Yield each different configuration of a network once, those of members under their names."""
    for member in folder.members:
        yield f"<h5>{escape(member.card.name)}</h5>"
        yield from _configurations(member)
    networks = [
        {"model": one.model.to_dict(), "pipeline": one.pipeline.config.to_dict()} for one in folder.card.networks
    ]
    for text in dict.fromkeys(json.dumps(network, indent=1) for network in networks):
        yield f"<details><summary>network and input</summary><pre>{escape(text)}</pre></details>"
