"""The registry's side of a promotion: versions, the aliases candidate and champion, and the gate between them."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hms_search.data.oof import OutOfFold, read_oof
from hms_search.inference.bundle import export_bundle
from hms_search.inference.model_folder import ModelFolder, open_model
from hms_search.promotion.gate import Gate, judge
from hms_search.promotion.train import MAY_LEAK
from hms_search.search.places import Places
from hms_search.tracking import NO_TRACKING, Tracker
from hms_search.tracking.registry import ModelRegistry, RegisteredVersion
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS

CHAMPION, CANDIDATE = "champion", "candidate"
LEAK = "its targets may come from networks that know the labels it is scored on (optimistic: true)"


@dataclass(frozen=True)
class Standing:
    """Where a model stands: its version in the registry (None without one), its gate, and whether it is champion."""

    version: RegisteredVersion | None
    gate: Gate
    champion: bool


@dataclass(frozen=True)
class Registrar:
    """Registers models under one name; without a tracking store it only judges them."""

    name: str
    registry: ModelRegistry | None

    @classmethod
    def open(cls, places: Places, name: str) -> "Registrar":
        """Return the registrar of a registered model; raises TrackingError where the registry cannot be reached."""
        if places.tracking_uri == NO_TRACKING:
            return cls(name, None)
        return cls(name, ModelRegistry(places.tracking_uri, places.artifacts))

    def register(
        self, model: ModelFolder, *, objective: Stratum, references: Mapping[str, ModelFolder], force: bool
    ) -> Standing:
        """Register a model where it is not yet, judge it, and make it champion where the gate opens.

        It is compared with the present champion and with ``references``, by their role; with none twice, nor itself.
        """
        champion = self._champion()
        crowned = None if champion is None else open_model(self._registry.fetch(champion))
        others = dict(references) if crowned is None else {CHAMPION: crowned, **references}
        compared: dict[str, ModelFolder] = {}
        for role, other in others.items():
            if other.card.name not in {model.card.name, *(one.card.name for one in compared.values())}:
                compared[role] = other
        oofs = {role: _oof(other) for role, other in compared.items()}
        doubt = LEAK if model.card.origin.get(MAY_LEAK) == "true" else ""
        gate = judge(_oof(model), oofs, objective=objective, force=force, doubt=doubt)
        if self.registry is None:
            return Standing(None, gate, champion=False)
        version = self._version(model, gate)
        is_champion = crowned is not None and crowned.card.name == model.card.name
        if gate.opens and not is_champion:
            self.registry.set_alias(self.name, CHAMPION, version.version)
            is_champion = True
        return Standing(version, gate, is_champion)

    def name_candidate(self, standing: Standing) -> None:
        """Give a model's version the alias ``candidate``."""
        if self.registry is not None and standing.version is not None:
            self.registry.set_alias(self.name, CANDIDATE, standing.version.version)

    @property
    def _registry(self) -> ModelRegistry:
        assert self.registry is not None
        return self.registry

    def _champion(self) -> RegisteredVersion | None:
        return next((one for one in self._versions() if CHAMPION in one.aliases), None)

    def _versions(self) -> tuple[RegisteredVersion, ...]:
        if self.registry is None:
            return ()
        return tuple(one for one in self.registry.versions() if one.name == self.name)

    def _version(self, model: ModelFolder, gate: Gate) -> RegisteredVersion:
        """Return the model's version, made where there is none, tagged with what the gate says."""
        run_id = model.card.origin["run_id"]
        there = [one for one in self._versions() if one.made_by(run_id)]
        tags = {**_tags(model), **_gate_tags(gate)}
        if there:
            self._registry.set_tags(self.name, there[-1].version, tags)
            return replace(there[-1], tags={**there[-1].tags, **tags})
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "bundle"
            export_bundle(model, bundle)
            number = self._registry.register(run_id, bundle, name=self.name, task=model.card.task, tags=tags)
        return RegisteredVersion(self.name, number, run_id, (), tags)


def keep_gate(tracker: Tracker, model: ModelFolder, gate: Gate) -> None:
    """Keep what a gate says with the model's run."""
    files = {"gate.json": json.dumps(gate.to_dict(), indent=1).encode()}
    tracker.add(model.card.origin["run_id"], metrics=gate.metrics(), files=files)


def _oof(model: ModelFolder) -> OutOfFold:
    return read_oof(model.oof, name=model.card.name)


def _tags(model: ModelFolder) -> Mapping[str, str]:
    kept = (
        "study",
        "trial",
        "recordings",
        "data_fingerprint",
        "folds_fingerprint",
        "objective",
        "n_folds",
        "epochs",
        MAY_LEAK,
    )
    origin = {name: model.card.origin[name] for name in kept if name in model.card.origin}
    scores = {
        name: f"{model.card.scores[name]:.6f}" for name in TASKS[model.card.task].kept if name in model.card.scores
    }
    return {"model": model.card.name, "kind": model.card.kind, **origin, **scores}


def _gate_tags(gate: Gate) -> Mapping[str, str]:
    verdicts = "; ".join(f"{one.role} {one.reference}: {gate.verdict(one)}" for one in gate.comparisons)
    return {
        "gate": "passed" if gate.passed else "not passed",
        "gate_verdicts": verdicts or "nothing to compare with",
        "forced": str(gate.forced).lower(),
    }
