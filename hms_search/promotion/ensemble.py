"""An ensemble of promoted models: blended on their out-of-fold predictions, kept as one folder, registered, judged."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hms_search.component import fingerprint_of
from hms_search.data.atomic import replacing_folder
from hms_search.data.oof import OutOfFold, oof_bytes, read_oof, write_oof
from hms_search.data.oof_alignment import align
from hms_search.document import dump_yaml
from hms_search.ensemble.cross_fit import CrossFit, cross_fit
from hms_search.ensemble.fit import Method
from hms_search.ensemble.scores import scores_of as blend_scores_of
from hms_search.errors import StudyError
from hms_search.inference.bundle import copy_model
from hms_search.inference.model_folder import (
    MEMBERS,
    OOF,
    Heads,
    ModelCard,
    ModelFolder,
    is_model,
    open_model,
    save_blend,
    write_card,
)
from hms_search.promotion.models import model_path
from hms_search.promotion.register import Registrar, Standing, keep_gate
from hms_search.promotion.train import (
    MAY_LEAK,
    OOF_BY_FILE,
    card_value,
    level_scores,
    objective_of,
    prior_of,
    scores_of,
)
from hms_search.provenance import code_tags
from hms_search.search.places import Places
from hms_search.tracking import open_tracker
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS

EXPERIMENT = "ensembles"
"""The MLflow experiment with a run per ensemble."""
_SHARED = ("objective", "data_fingerprint", "folds_fingerprint", "recordings", "sampling", "n_folds")


@dataclass(frozen=True)
class EnsembleRequest:
    """What to blend how: ``members`` are references that :func:`hms_search.promotion.models.model_path` knows.

    ``fit_on`` is the stratum whose rows the blend is fitted on; the members' objective if None. ``tta`` is the
    test-time augmentation that the ensemble is to be used with. ``model_name`` is the registered model's, the task's
    name if None.
    """

    name: str
    members: tuple[str, ...]
    method: Method
    seed: int = 0
    fit_on: Stratum | None = None
    tta: Heads = "none"
    model_name: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Ensemble:
    """A blended, registered ensemble: its folder, the cross-fitted blend and how it stands."""

    model: ModelFolder
    fit: CrossFit
    standing: Standing


def ensemble_models(
    request: EnsembleRequest, places: Places, *, on_fit: Callable[[int, int], None] | None = None
) -> Ensemble:
    """Blend models into an ensemble, which is a model like any other: registered, judged, ready to predict.

    The gate compares it with its best member and the present champion. Called again with the same members and method,
    it takes what is there.

    Raises DataError where the members' out-of-fold predictions leak or do not fit together, CheckpointError where a
    member cannot be had, StudyError where the name is taken by another ensemble or the members' objectives differ.
    """
    models = [open_model(model_path(reference, places)) for reference in request.members]
    members = align([read_oof(model.oof, name=model.card.name) for model in models])
    objective = objective_of([model.card for model in models])
    fit = cross_fit(
        request.method, members, seed=request.seed, name=request.name, fit_on=request.fit_on or objective, on_fit=on_fit
    )
    model = _kept(request, places, models, fit, objective)
    task = TASKS[model.card.task]
    best = min(models, key=lambda one: task.as_loss(card_value(one.card)))
    registrar = Registrar.open(places, request.model_name or task.name)
    standing = registrar.register(model, objective=objective, references={"best member": best}, force=request.force)
    registrar.name_candidate(standing)
    keep_gate(open_tracker(places.tracking_uri, places.artifacts, study=EXPERIMENT), model, standing.gate)
    return Ensemble(model, fit, standing)


def _kept(
    request: EnsembleRequest, places: Places, models: Sequence[ModelFolder], fit: CrossFit, objective: Stratum
) -> ModelFolder:
    """Return the ensemble's folder, written where it is not there yet."""
    target, identity = places.models / request.name, _identity(request, models)
    if is_model(target):
        model = open_model(target)
        if model.card.origin.get("identity") != identity:
            raise StudyError(
                f"{target} holds another model or ensemble of the name {request.name!r}; choose another name, "
                "or remove the folder first"
            )
        return model
    by_file, origin = _by_file(models, fit), _origin(request, models, identity)
    scores = scores_of(fit.oof, objective, seed=request.seed) | level_scores(fit.oof, by_file)
    with replacing_folder(target) as gathering:
        for model in models:
            copy_model(model.path, gathering / MEMBERS / model.card.name)
        write_oof(fit.oof, gathering / OOF)
        if by_file is not None:
            write_oof(by_file, gathering / OOF_BY_FILE)
        save_blend(gathering, fit.blend)
        run_id = _logged(request, places, fit, scores, origin)
        card = ModelCard(
            name=request.name,
            kind="ensemble",
            task=fit.oof.task,
            prior=prior_of(fit.oof, objective),
            scores=scores,
            origin={**origin, "run_id": run_id},
            members=tuple(model.card.name for model in models),
            blend=fit.blend.config,
            tta=request.tta,
        )
        write_card(gathering, card)
    return open_model(target)


def _by_file(models: Sequence[ModelFolder], fit: CrossFit) -> OutOfFold | None:
    """Return the blend of the members' predictions on folds of files, where they have them."""
    if not all((model.path / OOF_BY_FILE).is_file() for model in models):
        return None
    members = [read_oof(model.path / OOF_BY_FILE, name=model.card.name) for model in models]
    blended = fit.blend.apply(np.stack([member.probabilities for member in members]))
    return replace(members[0], name=fit.oof.name, probabilities=blended)


def _identity(request: EnsembleRequest, models: Sequence[ModelFolder]) -> str:
    members = [model.card.origin.get("identity", model.card.name) for model in models]
    return fingerprint_of([members, request.method.to_dict(), request.seed, request.fit_on])


def _origin(request: EnsembleRequest, models: Sequence[ModelFolder], identity: str) -> dict[str, str]:
    first = models[0].card.origin
    return {
        **{name: first[name] for name in _SHARED if name in first},
        **code_tags(),
        "identity": identity,
        "method": request.method.name,
        "members": " ".join(model.card.name for model in models),
        "member_run_ids": " ".join(model.card.origin.get("run_id", "") for model in models),
        "seed": str(request.seed),
        MAY_LEAK: str(any(model.card.origin.get(MAY_LEAK) == "true" for model in models)).lower(),
    }


def _logged(
    request: EnsembleRequest, places: Places, fit: CrossFit, scores: Mapping[str, float], origin: Mapping[str, str]
) -> str:
    """Log weights, scores and blended predictions as a run of their own, and return its id."""
    tracker = open_tracker(places.tracking_uri, places.artifacts, study=EXPERIMENT)
    tracker.end_orphans({"identity": [origin["identity"]]}, "its session died; the ensemble was blended again")
    found = blend_scores_of(fit, seed=request.seed)
    run = tracker.start_run(
        request.name,
        parent_id=None,
        params={"method": request.method.name, "members": len(fit.members)},
        tags=origin,
        texts={"method.yaml": dump_yaml(request.method.to_dict())},
        kind="ensemble",
    )
    record = {"blend": fit.blend.config.to_dict(), **found.to_dict()}
    files = {"oof.parquet": oof_bytes(fit.oof), "blend.json": json.dumps(record, indent=1).encode()}
    weights = {f"weight/{weight.name}": weight.value for weight in found.weights}
    run.finish("complete", metrics={**scores, **weights}, files=files)
    return run.id
