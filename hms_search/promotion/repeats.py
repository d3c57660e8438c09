"""Recorded trials run again, outside their study: each repetition an MLflow run, kept once it is complete."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hms_search.component import fingerprint_of
from hms_search.curves import learning_curve
from hms_search.data.atomic import replacing_folder
from hms_search.data.folds import FoldPlan
from hms_search.data.oof import OOF_FILE, OutOfFold, read_oof
from hms_search.data.progress import Progress
from hms_search.document import dump_yaml
from hms_search.errors import TrainingError
from hms_search.experiment import ExperimentResult, run_experiment
from hms_search.promotion.runs import ended_if_broken
from hms_search.promotion.samples import StudySamples
from hms_search.search.places import Places
from hms_search.search.recorded import RecordedStudy, RecordedTrial
from hms_search.search.session import study_tags
from hms_search.search.study_data import ReportProgress
from hms_search.search.trial_record import epoch_metrics, machine, predictions
from hms_search.tracking import Run, Tracker
from hms_search.training.results import Epoch

_RESULT = "repetition.json"


@dataclass(frozen=True)
class Variant:
    """What a repetition does otherwise than the study did: its seed, and perhaps its folds."""

    seed: int
    plan: FoldPlan


@dataclass(frozen=True)
class Repetition:
    """What a repetition found: its value and its out-of-fold predictions, or why it failed."""

    value: float | None
    reason: str
    oof: OutOfFold | None


@dataclass
class Repeats:
    """Runs a study's trials again, see :meth:`run`; ``purpose`` is what their MLflow runs say they are for."""

    study: RecordedStudy
    places: Places
    store: StudySamples
    tracker: Tracker
    parent_id: str
    progress: ReportProgress
    purpose: str
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def run(self, trials: Sequence[RecordedTrial], variants: Sequence[Variant]) -> list[tuple[Repetition, ...]]:
        """Return the repetitions of each trial, in the order of the variants.

        What an interrupted call had finished is not trained again; what it was at goes on after its last epoch.
        """
        self._done = 0
        self._total = sum(_epochs(trial, variant) for trial in trials for variant in variants)
        self._advance(0)
        found = [[self._repetition(trial, variant) for trial in trials] for variant in variants]
        return list(zip(*found, strict=True))

    def _repetition(self, trial: RecordedTrial, variant: Variant) -> Repetition:
        content = [trial.config.to_dict(), self.store.fingerprint, variant.plan.fingerprint, variant.seed]
        identity = fingerprint_of([*content, self.study.config.objective])
        target = self.places.repeats / self.study.config.name / identity
        before = self._done
        if not target.is_dir():
            self._train(trial, variant, identity, target)
        self._advance(before + _epochs(trial, variant) - self._done)
        kept = json.loads((target / _RESULT).read_text(encoding="utf-8"))
        left_open = self.tracker.open_run(kept["run_id"])
        if left_open is not None:
            _finish(left_open, kept, target)
        shutil.rmtree(self._work(identity), ignore_errors=True)
        oof = read_oof(target / OOF_FILE, name=trial.label) if kept["value"] is not None else None
        return Repetition(kept["value"], kept["reason"], oof)

    def _train(self, trial: RecordedTrial, variant: Variant, identity: str, target: Path) -> None:
        self.tracker.end_orphans({"identity": [identity]}, "its session died; the repetition was taken up again")
        run = self.tracker.start_run(
            f"{trial.label} again, seed {variant.seed}",
            parent_id=self.parent_id,
            params=trial.row.params,
            tags=self._tags(trial, variant, identity),
            texts={"config.yaml": dump_yaml(trial.config.to_dict())},
            kind="repetition",
        )
        with ended_if_broken(run):
            epochs: list[Epoch] = []
            reason, result = "", None
            try:
                result = self._experiment(trial, variant, identity, run, epochs)
            except TrainingError as error:
                reason = str(error)
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing_folder(target) as gathering:
                for name, content in self._files(trial, variant, epochs, result).items():
                    (gathering / name).write_bytes(content)
                value, metrics = (None, {}) if result is None else (result.value, result.metrics)
                kept = {"value": value, "reason": reason, "metrics": metrics, "run_id": run.id}
                (gathering / _RESULT).write_text(json.dumps(kept), encoding="utf-8")

    def _experiment(
        self, trial: RecordedTrial, variant: Variant, identity: str, run: Run, epochs: list[Epoch]
    ) -> ExperimentResult:
        config = self.study.config

        def on_epoch(epoch: Epoch) -> None:
            epochs.append(epoch)
            run.log(epoch_metrics(epoch, config.learned), step=epoch.epoch)
            self._advance(1)

        return run_experiment(
            trial.config,
            self.store,
            variant.plan,
            seed=variant.seed,
            device=config.device,
            objective=config.objective,
            on_epoch=on_epoch,
            out_dir=self._work(identity),
        )

    def _files(
        self, trial: RecordedTrial, variant: Variant, epochs: Sequence[Epoch], result: ExperimentResult | None
    ) -> dict[str, bytes]:
        title = f"{trial.label}, seed {variant.seed}"
        curve = {"learning_curve.png": learning_curve(epochs, title=title, task=self.study.config.learned)}
        files = curve if epochs else {}
        if result is None:
            return files
        return {**files, **predictions(trial.label, self.store, variant.plan, result)}

    def _tags(self, trial: RecordedTrial, variant: Variant, identity: str) -> dict[str, str]:
        return {
            **study_tags(self.study.config, self.study.contract),
            **machine(self.study.config.device),
            "purpose": self.purpose,
            "trial": str(trial.number),
            "origin_run_id": trial.row.run_id,
            "baseline": str(trial.row.baseline).lower(),
            "folds_fingerprint": variant.plan.fingerprint,
            "config_fingerprint": trial.config.fingerprint(),
            "identity": identity,
            "seed": str(variant.seed),
        }

    def _work(self, identity: str) -> Path:
        return self.places.unfinished / f"{self.study.config.name}-{identity}"

    def _advance(self, epochs: int) -> None:
        self._done += epochs
        self.progress(f"{self.purpose} of {self.study.config.name}", Progress(self._done, self._total))


def _finish(run: Run, kept: Mapping[str, Any], target: Path) -> None:
    """End the run of a repetition that is complete: at once, or when its process died before it could."""
    files = {file.name: file.read_bytes() for file in target.iterdir() if file.name != _RESULT}
    if kept["value"] is None:
        run.finish("failed", reason=kept["reason"], metrics={}, files=files)
    else:
        run.finish("complete", metrics={"value": kept["value"], **kept["metrics"]}, files=files)


def _epochs(trial: RecordedTrial, variant: Variant) -> int:
    return len(variant.plan.use) * trial.config.training.epochs
