"""Systems: the final ensembles of published write-ups, each rebuilt by one call from the studies that it names."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hms_search.component import Component, Field, fingerprint_of
from hms_search.data.folds import plan_folds
from hms_search.document import dump_yaml, read_yaml
from hms_search.eeg.shapes import KINDS, Kind
from hms_search.ensemble.fit import Method
from hms_search.ensemble.fit_weights import Mean
from hms_search.errors import ConfigError
from hms_search.inference.model_folder import Heads, ModelFolder
from hms_search.models import resolve_weights, settled_weights
from hms_search.promotion.ensemble import Ensemble, EnsembleRequest, ensemble_models
from hms_search.promotion.promote import promotion_seed, remarks
from hms_search.promotion.workshop import Design, Workshop
from hms_search.search.coordinator import missing_weights
from hms_search.search.events import Event, Notice
from hms_search.search.session import Places, ReportProgress, only_session, open_store, prepared_data
from hms_search.search.study import StudyConfig, contract_of, read_study
from hms_search.tracking import Tracker, open_tracker

SYSTEMS = Path("studies/systems")
"""Where systems are looked for by name."""


class Member(Component):
    """A model of a system: the base of a study's space, with some of its ``settings`` changed (path: value)."""

    study: str
    settings: dict[str, Any] = Field(default_factory=dict)


class System(Component):
    """An ensemble to be built from nothing: its members, trained on the same folds, and how they are blended.

    Attributes
    ----------
    members
        By name. Studies are files, relative to the system's.
    method
        How the members' out-of-fold predictions become one.
    n_folds, epochs, seeds
        Of every member; null: its study's.
    tta
        The test-time augmentation the ensemble is to be used with.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)
    description: str = ""
    members: dict[str, Member] = Field(min_length=2)
    method: Method = Mean()
    n_folds: int | None = Field(None, ge=2)
    epochs: int | None = Field(None, ge=1)
    seeds: int | None = Field(None, ge=1)
    tta: Heads = "none"


@dataclass(frozen=True)
class SystemRequest:
    """What to rebuild and how; None stands for the system's own setting.

    ``system`` is a file, or the name of one in :data:`SYSTEMS`. ``settings`` (``path=value``) are put into every
    member's study, after the member's own.
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


def read_system(reference: str) -> tuple[System, Path]:
    """Return a system and its file; raises ConfigError, naming those there are, where it cannot be had."""
    path = Path(reference)
    if path.suffix not in {".yaml", ".yml"}:
        path = SYSTEMS / f"{reference}.yaml"
        if not path.is_file():
            there = ", ".join(sorted(file.stem for file in SYSTEMS.glob("*.yaml"))) or "none"
            raise ConfigError(f"no system {reference!r}: {SYSTEMS} holds {there}; give one of them, or a YAML file")
    return System.from_document(read_yaml(path)), path


def checked_system(reference: str) -> System:
    """Return a system whose studies were read too; raises ConfigError where one is wrong."""
    system, path = read_system(reference)
    for member in system.members.values():
        _study(SystemRequest(reference), member, path)
    return system


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
    system, path = read_system(request.system)
    studies = {name: _study(request, member, path) for name, member in system.members.items()}
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


def _study(request: SystemRequest, member: Member, path: Path) -> StudyConfig:
    own = [f"{dotted}={json.dumps(value)}" for dotted, value in member.settings.items()]
    data = [] if request.data is None else [f"data.root={json.dumps(request.data)}"]
    study = read_study(path.parent / member.study, (*own, *data, *request.settings))
    if study.task != "hms":
        raise ConfigError(f"{path}: members are studies of task hms, found {member.study} of task {study.task}")
    return study
