"""Running trials of a study again: what is refused before anything is trained."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from hms_search.document import parse_yaml
from hms_search.errors import StudyError
from hms_search.promotion.again import AgainRequest, chosen_trials, run_again
from hms_search.search.contract import contract_of, open_study
from hms_search.search.places import Places
from hms_search.search.recorded import recorded_study
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import study_from_document

STUDY = """
name: small
space:
  name: small
  base:
    pipeline: {source: spectrogram, resize: [32, 48]}
    model: {name: timm, backbone: test_resnet, dropout: 0.1}
  parameters:
    model.dropout: {type: float, low: 0.0, high: 0.5}
"""


def places_with(tmp_path: Path, values: list[float], dropouts: Sequence[float] = ()) -> Places:
    """A working directory with a study whose trials, the baseline first, have these values."""
    places = Places(root=tmp_path)
    config = study_from_document(parse_yaml(STUDY, source="study"))
    storage = open_storage(places.storage)
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    for number, value in enumerate(values):
        dropout = dropouts[number] if dropouts else 0.1 * (number + 1)
        study.enqueue_trial({"model.dropout": dropout}, user_attrs={"baseline": number == 0})
        trial = study.ask()
        config.space.suggest(trial)
        trial.set_user_attr("outcome", "complete")
        study.tell(trial, value)
    close_storage(storage)
    return places


def again(places: Places, purpose: str, top: int = 1) -> None:
    request = AgainRequest("small", purpose, top=top, data="nowhere")  # type: ignore[arg-type]
    run_again(request, places, notify=lambda _: None, progress=lambda *_: None)


@pytest.mark.parametrize(("values", "purpose", "top"), [([0.7], "recheck", 5), ([0.7, 0.8], "noise", 1)])
def test_a_study_that_found_nothing_better_has_no_gain_to_look_into(
    tmp_path: Path, values: list[float], purpose: str, top: int
) -> None:
    with pytest.raises(StudyError, match="has found nothing better than its baseline"):
        again(places_with(tmp_path, values), purpose, top)


def test_a_study_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there are no studies yet"):
        again(Places(root=tmp_path), "noise")


def test_the_best_that_are_looked_at_again_are_different_configurations(tmp_path: Path) -> None:
    places = places_with(tmp_path, [0.7, 0.5, 0.5, 0.5, 0.6], [0.1, 0.2, 0.2, 0.2, 0.3])
    storage = open_storage(places.storage)
    baseline, chosen = chosen_trials(recorded_study(storage, "small"), top=3)
    close_storage(storage)
    assert (baseline.number, [trial.number for trial in chosen]) == (0, [1, 4])
