"""Promotion: the best trials of a study become final models, are registered, and one may become the champion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hms_search.data.folds import FoldPlan, Folds, counterpart, level_of, plan_folds
from hms_search.inference.model_folder import ModelFolder
from hms_search.promotion.again import RECHECKED, AgainRequest, run_again
from hms_search.promotion.choose import choose, completed_trial, luck
from hms_search.promotion.gate import Gate
from hms_search.promotion.register import Registrar, Standing, keep_gate
from hms_search.promotion.samples import StudySamples, check_same, open_samples
from hms_search.promotion.train import card_value
from hms_search.promotion.workshop import Workshop, design_of
from hms_search.search.asking import derived_seed
from hms_search.search.data_config import SYNTHETIC
from hms_search.search.events import Event, Notice
from hms_search.search.locks import only_session
from hms_search.search.places import Places
from hms_search.search.recorded import RecordedStudy, recorded_study
from hms_search.search.report import find_report
from hms_search.search.storage import existing_storage
from hms_search.search.study import StudyConfig
from hms_search.search.study_data import ReportProgress
from hms_search.tracking import open_tracker


@dataclass(frozen=True)
class PromotionRequest:
    """What to promote and how; None stands for the study's own setting.

    ``trial`` goes before ``top``, the number of distinct designs. With ``recheck`` the best trials are first run again
    on other folds, as often as was done before, and chosen by that. ``model_name`` is the registered model's, the
    task's name if None; ``force`` makes the candidate the champion whatever the gate says, and is recorded.
    """

    study: str
    trial: int | None = None
    top: int = 1
    recheck: bool = False
    data: str | None = None
    n_folds: int | None = None
    epochs: int | None = None
    seeds: int | None = None
    model_name: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Promoted:
    """A final model: the trial it comes from, its folder, and how it stands."""

    trial: int
    model: ModelFolder
    standing: Standing

    @property
    def gate(self) -> Gate:
        """How it compares with the baseline and the champion."""
        return self.standing.gate


def promote(
    request: PromotionRequest, places: Places, *, notify: Callable[[Event], None], progress: ReportProgress
) -> tuple[Promoted, ...]:
    """Train, register and judge the final models of a study's best trials; return them, the best first.

    The baseline is trained on the same folds and seeds, for the gate. Called again after an interruption, it goes on
    after the last finished epoch; what is complete is not trained again.

    Raises StudyError where the study is unknown, the trial did not complete, or the data is not the study's.
    """
    if request.recheck:
        with existing_storage(places.storage) as storage:
            kept = find_report(storage, request.study).recheck
        times = 1 if kept is None else len(kept.seeds)
        again = AgainRequest(request.study, "recheck", top=RECHECKED, times=times, data=request.data)
        run_again(again, places, notify=notify, progress=progress)
    with existing_storage(places.storage) as storage:
        study = recorded_study(storage, request.study)
    if request.trial is None and (text := luck(study)):
        notify(Notice(text))
    chosen = (completed_trial(study, request.trial),) if request.trial is not None else choose(study, top=request.top)
    if len(chosen) < request.top:
        notify(Notice(f"only {len(chosen)} completed trials differ in design: {request.top} were asked for"))
    with only_session(places.lock(f"{request.study}.promotion"), request.study):
        workshop = _workshop(request, study, places, notify=notify, progress=progress)
        baseline = workshop.model(design_of(study.baseline))
        models = {trial.number: workshop.model(design_of(trial)) for trial in chosen}
        registrar = Registrar.open(places, request.model_name or study.config.task)
        as_loss = study.config.learned.as_loss
        ranked = sorted(models.items(), key=lambda item: as_loss(card_value(item[1].card)))
        promoted = []
        for number, model in ranked:
            standing = registrar.register(
                model, objective=study.config.objective, references={"baseline": baseline}, force=request.force
            )
            keep_gate(workshop.tracker, model, standing.gate)
            promoted.append(Promoted(number, model, standing))
        registrar.name_candidate(promoted[0].standing)
        return tuple(promoted)


def promotion_seed(study_seed: int, place: int) -> int:
    """Return the seed of one of a final model's experiments, the same for all models of a study."""
    return derived_seed("promotion", study_seed, place)


def _workshop(
    request: PromotionRequest,
    study: RecordedStudy,
    places: Places,
    *,
    notify: Callable[[Event], None],
    progress: ReportProgress,
) -> Workshop:
    config = study.config
    store = open_samples(study, request.data, places, notify=notify, progress=progress)
    check_same(store, study)
    n_folds = request.n_folds or config.promotion.n_folds
    plan, by_file = _plans(config, n_folds, store)
    for text in remarks(config, plan):
        notify(Notice(text, warning=True))
    tracker = open_tracker(places.tracking_uri, places.artifacts, study=config.name)
    return Workshop(
        study=config,
        contract=study.contract,
        places=places,
        store=store,
        plan=plan,
        by_file=by_file,
        seeds=tuple(promotion_seed(config.seed, place) for place in range(request.seeds or config.promotion.seeds)),
        epochs=request.epochs or config.promotion.epochs,
        tracker=tracker,
        parent_id=tracker.study_run(),
        progress=progress,
    )


def _plans(config: StudyConfig, n_folds: int, store: StudySamples) -> tuple[FoldPlan, FoldPlan | None]:
    """Return the folds that become the model, and those of files where the task wants the score on both.

    Of the two, those of patients make and judge the model: folds of files share patients, and so flatter it.
    """
    folds: Folds = config.folds.model_copy(update={"n_folds": n_folds, "use": None})
    if not config.learned.levels:
        return plan_folds(folds, store), None
    by_level = {level_of(one): one for one in (folds, counterpart(folds))}
    return plan_folds(by_level["patient"], store), plan_folds(by_level["file"], store)


def remarks(config: StudyConfig, plan: FoldPlan) -> Sequence[str]:
    """Return what to know of the scores of a study's final models."""
    found = []
    if config.data.root == SYNTHETIC:
        found.append("the recordings are synthetic: the scores say nothing about real EEG")
    if plan.shared_patients:
        found.append(
            f"{plan.shared_patients} patients are on both sides of a fold (folds: random): the gate stays shut, since "
            "such scores flatter the model; use folds: {name: grouped}"
        )
    return found
