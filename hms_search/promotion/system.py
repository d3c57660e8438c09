"""Rebuilding a system: one call trains the members that its file names, and blends them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hms_search.component import fingerprint_of
from hms_search.data.folds import plan_folds
from hms_search.document import dump_yaml
from hms_search.eeg.shapes import KINDS, Kind
from hms_search.inference.model_folder import ModelFolder
from hms_search.models import resolve_weights, settled_weights
from hms_search.promotion.ensemble import Ensemble, EnsembleRequest, ensemble_models
from hms_search.promotion.promote import promotion_seed, remarks
from hms_search.promotion.system_file import System, read_system
from hms_search.promotion.workshop import Design, Workshop
from hms_search.search.asking import missing_weights
from hms_search.search.contract import contract_of
from hms_search.search.events import Event, Notice
from hms_search.search.locks import only_session
from hms_search.search.places import Places
from hms_search.search.study import StudyConfig
from hms_search.search.study_data import ReportProgress, open_store, prepared_data
from hms_search.tracking import Tracker, open_tracker


@dataclass(frozen=True)
class SystemRequest:
    """What to rebuild and how; None stands for the system's own setting.

    ``system`` is a file, or a name that :func:`hms_search.promotion.system_file.read_system` knows. ``settings``
    (``path=value``) are put into every member's study, after the member's own.
    """

    system: str
    data: str | None = None
    n_folds: int | None = None
    epochs: int | None = None
    seeds: int | None = None
    settings: tuple[str, ...] = ()
    model_name: str = "hms"
    force: bool = False


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt system: its members' final models and their ensemble."""

    system: System
    members: tuple[ModelFolder, ...]
    ensemble: Ensemble


def rebuild(
    request: SystemRequest,
    places: Places,
    *,
    notify: Callable[[Event], None],
    progress: ReportProgress,
    on_fit: Callable[[int, int], None] | None = None,
) -> Rebuilt:
    """Train the members of a system on all folds, blend them, and register and judge the ensemble.

    All members have the same samples: those with every kind of recording that one of them reads. Called again after an
    interruption, it goes on after the last finished epoch; what is complete is not trained again.

    Raises ConfigError where the system or a study is wrong, DataError where the data is.
    """
    file = read_system(request.system)
    system, studies = file.system, file.studies(data=request.data, settings=request.settings)
    read = {kind for study in studies.values() for kind in study.space.base.pipeline.kinds}
    having = tuple(kind for kind in KINDS if kind in read)
    with only_session(places.lock(f"{system.name}.system"), system.name):
        tracker = open_tracker(places.tracking_uri, places.artifacts, study=system.name)
        texts = {"system.yaml": dump_yaml(system.to_dict())}
        parent_id = tracker.start_study(tags={"system": system.name}, texts=texts)
        site = _Site(request, system, places, having, tracker, parent_id, notify, progress)
        models = tuple(site.model(name, study) for name, study in studies.items())
        ensemble = _blended(request, system, models, places, on_fit)
        rows = [{"run_id": model.card.origin["run_id"], "member": model.card.name} for model in models]
        tracker.finish_study(parent_id, metrics=ensemble.model.card.scores, table=rows)
    return Rebuilt(system, models, ensemble)


@dataclass
class _Site:
    """Where the members of a system are trained."""

    request: SystemRequest
    system: System
    places: Places
    having: tuple[Kind, ...]
    tracker: Tracker
    parent_id: str
    notify: Callable[[Event], None]
    progress: ReportProgress
    _told: set[str] = field(default_factory=set)
    _settled: dict[str, str] = field(default_factory=dict)

    def model(self, name: str, study: StudyConfig) -> ModelFolder:
        """Return the final model of a member."""
        base, before = study.space.base, self._settled
        self._settled = settled_weights(base.model, before)
        for text in missing_weights(before, self._settled):
            self._tell(Notice(text, warning=True))
        config = base.model_copy(update={"model": resolve_weights(base.model, self._settled)})
        tags = {"system": self.system.name, "member": name}
        return self._workshop(study).model(Design(f"{self.system.name}-{name}", config, {}, tags))

    def _workshop(self, study: StudyConfig) -> Workshop:
        request, system, promotion = self.request, self.system, study.promotion
        path = prepared_data(study.data, self.places, progress=self.progress, notify=self._tell)
        store = open_store(study, path, progress=self.progress, having=self.having)
        n_folds = request.n_folds or system.n_folds or promotion.n_folds
        plan = plan_folds(study.folds.model_copy(update={"n_folds": n_folds, "use": None}), store)
        left_out = [f"{count} windows are left out: {reason}" for reason, count in store.left_out.items() if count]
        for text in (*remarks(study, plan), *left_out):
            self._tell(Notice(text, warning=True))
        n_seeds = request.seeds or system.seeds or promotion.seeds
        return Workshop(
            study=study,
            contract=contract_of(study, data=store.fingerprint, folds=plan.fingerprint),
            places=self.places,
            store=store,
            plan=plan,
            seeds=tuple(promotion_seed(study.seed, place) for place in range(n_seeds)),
            epochs=request.epochs or system.epochs or promotion.epochs,
            tracker=self.tracker,
            parent_id=self.parent_id,
            progress=self.progress,
        )

    def _tell(self, event: Event) -> None:
        """Pass on what was not said of another member."""
        if str(event) not in self._told:
            self._told.add(str(event))
            self.notify(event)


def _blended(
    request: SystemRequest,
    system: System,
    models: Sequence[ModelFolder],
    places: Places,
    on_fit: Callable[[int, int], None] | None,
) -> Ensemble:
    identities = [model.card.origin["identity"] for model in models]
    name = f"{system.name}-{fingerprint_of([identities, system.method.to_dict(), system.tta])[:6]}"
    wanted = EnsembleRequest(
        name,
        tuple(str(model.path) for model in models),
        system.method,
        tta=system.tta,
        model_name=request.model_name,
        force=request.force,
    )
    return ensemble_models(wanted, places, on_fit=on_fit)
