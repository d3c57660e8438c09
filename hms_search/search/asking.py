"""From a sampler's proposal to a job for a worker: the whole configuration, its seed, its tags."""

import hashlib
from collections.abc import Callable, Mapping

import optuna

from hms_search.experiment import ExperimentConfig
from hms_search.models import is_settled, resolve_weights, settled_weights
from hms_search.search.events import Event, Notice
from hms_search.search.outcomes import is_baseline, origin_of
from hms_search.search.patient_storage import parameters_together
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Before, Job

WEIGHTS_KEY = "hms_search:weights"


class Asker:
    """Makes jobs of a study's trials; ``tags`` are those of all its runs."""

    def __init__(
        self, config: StudyConfig, study: optuna.Study, *, tags: Mapping[str, str], notify: Callable[[Event], None]
    ) -> None:
        self._config, self._study, self._tags, self._notify = config, study, dict(tags), notify
        self._settled: dict[str, str] = {}

    def job(self, trial: optuna.Trial, place: int, before: Before | None = None) -> Job:
        """Return the job of the trial at a place, the parameters suggested where it has none yet.

        Raises ConfigError or CheckpointError where its configuration cannot be run.
        """
        with parameters_together(self._study._storage):
            suggested = self._config.space.suggest(trial)
        config = self._with_weights(suggested)
        origin = origin_of(trial)
        seed = trial_seed(self._config.seed, place)
        tags = {
            **self._tags,
            "trial": str(trial.number),
            "baseline": str(is_baseline(trial)).lower(),
            "seed": str(seed),
            "config_fingerprint": config.fingerprint(),
        }
        if origin != trial.number:
            tags["retry_of"] = str(origin)
        return Job(trial.number, config, dict(trial.params), seed, tags, origin, before, is_baseline(trial))

    def _with_weights(self, config: ExperimentConfig) -> ExperimentConfig:
        """Settle ``weights: auto``, once per backbone for the whole study, so that its trials compare."""
        if not is_settled(config.model, self._settled):  # by an earlier session or another one it may be
            self._settled = self._study.user_attrs.get(WEIGHTS_KEY, {})
        settled = self._settled
        now = self._settled = settled_weights(config.model, settled)
        if now != settled:
            self._study.set_user_attr(WEIGHTS_KEY, now)
        for text in missing_weights(settled, now):
            self._notify(Notice(text, warning=True))
        return config.model_copy(update={"model": resolve_weights(config.model, now)})


def keep_weights(study: optuna.Study, *, of: str) -> None:
    """Let ``weights: auto`` mean what it means in the study ``of``, in the same storage, so that their trials compare.

    What the study has settled itself stays.
    """
    settled = optuna.load_study(study_name=of, storage=study._storage).user_attrs.get(WEIGHTS_KEY)
    if settled is not None and WEIGHTS_KEY not in study.user_attrs:
        study.set_user_attr(WEIGHTS_KEY, settled)


def missing_weights(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what to say of backbones whose ``weights: auto`` was newly settled to none."""
    return [
        f"no ImageNet weights of {backbone} can be had (neither hub, cache nor an installed package has them): it is "
        "trained from random weights; give model.weights a .safetensors file for better"
        for backbone, weights in now.items()
        if backbone not in before and weights == "none"
    ]


def trial_seed(study_seed: int, place: int) -> int:
    """Return a trial's training seed, derived from the study's seed and :func:`hms_search.search.outcomes.place_of`."""
    return derived_seed("trial", study_seed, place)


def derived_seed(purpose: str, seed: int, number: int) -> int:
    """Return a 31-bit seed for one of several things of a study, told apart by purpose and number."""
    digest = hashlib.sha256(f"hms_search {purpose} {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
