"""The panel that says what a model is, how well it did, and what it is for."""

import json
from collections.abc import Iterable
from html import escape

from hms_search.inference.model_folder import ModelCard, ModelFolder
from hms_search.training.metrics import STRATA, Stratum
from hms_search.web.markup import table_html

INTENDED_USE = "For research, not for diagnosis: nothing this model says may decide about a patient."
_SYNTHETIC = "It was trained on synthetic recordings: what it says means nothing for real EEG."
_ROWS: dict[Stratum, str] = {"all": "all", "high": "10 votes or more", "low": "fewer than 10 votes"}


def card_html(folder: ModelFolder) -> str:
    """Return the card of a model as HTML: use, scores per stratum with interval, origin, and its configuration."""
    card = folder.card
    notes = [INTENDED_USE, _SYNTHETIC] if card.origin.get("recordings") == "synthetic" else [INTENDED_USE]
    parts = f"{len(card.members)} members" if card.members else f"{len(card.networks)} networks"
    return "\n".join(
        [
            f"<h3>{escape(card.name)}</h3><p>{escape(card.kind)}, {parts}</p>",
            *(f"<p><strong>{note}</strong></p>" for note in notes),
            "<h4>Score on patients it had not seen</h4>",
            table_html(("recordings", "KL, out of fold", "95 % interval over patients"), _scores(card)),
            "<h4>Origin</h4>",
            table_html((), card.origin.items()),
            "<h4>Configuration</h4>",
            *_configurations(folder),
        ]
    )


def _scores(card: ModelCard) -> Iterable[tuple[str, str, str]]:
    """Yield a row for each stratum; the interval is of the one that the model was chosen on."""
    for stratum in STRATA:
        score = card.scores.get(f"kl_{stratum}")
        ends = [card.scores.get(f"kl_interval_{end}") for end in ("low", "high")]
        known = stratum == card.origin.get("objective") and None not in ends
        interval = f"{ends[0]:.4f} to {ends[1]:.4f}" if known else "not recorded"
        yield _ROWS[stratum], "not recorded" if score is None else f"{score:.4f}", interval


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
