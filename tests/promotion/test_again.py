"""Running trials of a study again: what is refused before anything is trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hms_search.data.folds import plan_folds
from hms_search.document import parse_yaml
from hms_search.errors import StudyError
from hms_search.promotion.again import AgainRequest, chosen_trials, run_again
from hms_search.promotion.promote import PromotionRequest, promote
from hms_search.search.contract import contract_of, open_study
from hms_search.search.places import Places
from hms_search.search.recorded import recorded_study
from hms_search.search.repeated import RECHECK_KEY, Again, Gain, Repeated, keep_again
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig, read_study, study_from_document
from hms_search.search.study_data import study_samples

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
    add(places, config, values, dropouts)
    return places


def add(
    places: Places,
    config: StudyConfig,
    values: Sequence[float],
    dropouts: Sequence[float] = (),
    *,
    data: str = "d" * 12,
    folds: str = "f" * 12,
) -> None:
    """Add a study to a working directory."""
    storage = open_storage(places.storage)
    study = open_study(config, contract_of(config, data=data, folds=folds), storage)
    for number, value in enumerate(values):
        dropout = dropouts[number] if dropouts else 0.1 * (number + 1)
        study.enqueue_trial({"model.dropout": dropout}, user_attrs={"baseline": number == 0})
        trial = study.ask()
        config.space.suggest(trial)
        trial.set_user_attr("outcome", "complete")
        study.tell(trial, value)
    close_storage(storage)


def record(*trials: int, times: int, other_folds: bool = True) -> Again:
    """What was found of trials that were run again so many times."""
    gain = Gain(0.2, 0.1, 0.05, 0.15, "seeds")
    again = tuple(Repeated(number, f"trial{number}", 0.5, (0.6,) * times, gain) for number in trials)
    return Again(tuple(range(times)), other_folds, Repeated(0, "trial0", 0.7, (0.7,) * times), again)


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


EPILEPSY = Path(__file__).parents[2] / "studies" / "epilepsy_cnn.yaml"


def of_seizures() -> StudyConfig:
    space = "space.parameters={model.dropout: {type: float, low: 0.0, high: 0.5}}"
    return read_study(EPILEPSY, ("data={root: synthetic, synthetic: {patients: 12}}", "folds.n_folds=2", space))


def of_recordings() -> StudyConfig:
    document = parse_yaml(STUDY, source="study").with_setting("data={root: synthetic, synthetic: {patients: 8}}")
    return study_from_document(document)


@pytest.mark.parametrize(("made", "other_folds"), [(of_recordings, True), (of_seizures, False)])
def test_what_is_known_already_is_kept_and_folds_of_files_are_known_to_be_the_same(
    made: Callable[[], StudyConfig], other_folds: bool, tmp_path: Path
) -> None:
    config, places = made(), Places(root=tmp_path)
    samples = study_samples(config, places, progress=lambda *_: None, notify=lambda _: None)
    values = [0.7, 0.5, 0.6] if config.task == "hms" else [0.5, 0.7, 0.6]
    folds = plan_folds(config.folds, samples).fingerprint
    add(places, config, values, data=samples.fingerprint, folds=folds)
    known = record(1, 2, times=3, other_folds=other_folds)
    keep_again(places.storage, config.name, RECHECK_KEY, known)
    request = AgainRequest(config.name, "recheck", top=1, times=1)
    assert run_again(request, places, notify=lambda _: None, progress=lambda *_: None) == known
    assert not places.repeats.exists()


def test_a_promotion_rechecks_as_often_as_was_done_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[AgainRequest] = []

    def stopped(request: AgainRequest, *_: object, **__: object) -> None:
        asked.append(request)
        raise StudyError("stopped here")

    monkeypatch.setattr("hms_search.promotion.promote.run_again", stopped)
    places = places_with(tmp_path, [0.7, 0.5, 0.6])
    for times in (1, 3):
        with pytest.raises(StudyError, match="stopped here"):
            promote(PromotionRequest("small", recheck=True), places, notify=lambda _: None, progress=lambda *_: None)
        keep_again(places.storage, "small", RECHECK_KEY, record(1, times=3))
        assert asked[-1].times == times
