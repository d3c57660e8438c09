"""Which trials of a study are worth a final model: the best of them that are really different."""

from typing import Any

from hms_search.errors import StudyError
from hms_search.experiment import ExperimentConfig
from hms_search.models import architecture
from hms_search.search.recorded import RecordedStudy, RecordedTrial


def choose(study: RecordedStudy, *, top: int) -> tuple[RecordedTrial, ...]:
    """Return the best completed trials, best first, no two of one design; fewer where there are not so many designs.

    Those that were rechecked are ranked by what that found, and before the others.

    Raises StudyError where no trial has completed.
    """
    chosen: dict[str, RecordedTrial] = {}
    for trial in _completed(study):
        chosen.setdefault(repr(design(trial.config)), trial)
    return tuple(chosen.values())[:top]


def luck(study: RecordedStudy) -> str:
    """Return what to say of the best trial's luck where it was not run again; empty where it was, or none can be."""
    best = next((trial for trial in study.completed if not trial.row.baseline), None)
    if best is None or (study.recheck is not None and study.recheck.of(best.number) is not None):
        return ""
    if study.recheck is None:
        count = sum(trial.row.same_as is None for trial in study.completed)
        looks = f"the best of {count} completed trials looks better than it is"
        return f"{looks}: --recheck runs the best again on other folds and chooses by that"
    return (
        f"trial {best.number} has the best value but was not rechecked, so it stands behind those that were: --recheck"
    )


def completed_trial(study: RecordedStudy, number: int) -> RecordedTrial:
    """Return a trial by its number; raises StudyError, naming those that completed, where it did not."""
    trial = study.trial(number)
    if trial.row.outcome != "complete":
        why = f": {trial.row.reason}" if trial.row.reason else ""
        others = ", ".join(str(one.number) for one in _completed(study)[:10])
        raise StudyError(
            f"trial {number} of study {study.config.name!r} is {trial.row.outcome}{why}; only a completed trial can be "
            f"promoted; the completed ones, best first: {others}"
        )
    return trial


def design(config: ExperimentConfig) -> Any:
    """Return what tells designs apart: pipeline and model without their real-valued settings and first weights.

    Another backbone, representation, image size or normalisation is another design; another learning rate, dropout or
    clip bound is not: models that differ only there make the same mistakes, and an ensemble gains little from them.
    """
    return _without_reals({"pipeline": config.pipeline.to_dict(), "model": architecture(config.model).to_dict()})


def _completed(study: RecordedStudy) -> tuple[RecordedTrial, ...]:
    if not study.completed:
        raise StudyError(f"study {study.config.name!r} has no completed trial to promote; run it further")
    return study.honest_first


def _without_reals(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_reals(value) for key, value in content.items() if not isinstance(value, float)}
    return content
