"""Migration: a study in a changed space begins with the trials of the stored one that are trials of it, too.

Optuna cannot change a study's choices, and narrowing a range switches its joint model off; so the changed space is
another study, under another name, and the trials that fit are added to it anew, marked with where they were run.
"""

from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from hms_search.errors import StudyError
from hms_search.search.asking import keep_weights
from hms_search.search.carrying import carried
from hms_search.search.contract import Contract
from hms_search.search.history import study_history
from hms_search.search.outcomes import CARRIED_KEY
from hms_search.search.space_difference import difference, moved
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import CONTRACT_KEY


@dataclass(frozen=True)
class Migrated:
    """How many trials of the other study were added now, and how many of it are there in all."""

    added: int
    taken_over: int


def migrate(config: StudyConfig, contract: Contract, study: optuna.Study) -> Migrated:
    """Add the trials of the study that ``config.migrate`` names to this one; those that are there already are left.

    Raises StudyError where that study does not exist, was run on other data, folds or aims, or none of its trials lies
    in this one's space.
    """
    source = study_history(study._storage, config.migrate or "")
    name, changes = source.config.name, difference(source, config)
    _check_contract(name, study._storage, contract)
    if changes.kind == "incompatible":
        raise StudyError(
            f"migrate: the trials of study {name!r} were other experiments: {'; '.join(changes.lines)}; start without "
            "--migrate"
        )
    old, new = source.config.space, config.space
    taken = carried(source.trials, new, study=name, moved=moved(old, new))
    if not taken:
        raise StudyError(
            f"migrate: none of the {len(source.trials)} trials of study {name!r} lies in space {new.name}; widen the "
            "space, or start without --migrate"
        )
    keep_weights(study, of=name)
    there = {trial.user_attrs.get(CARRIED_KEY) for trial in study.get_trials(deepcopy=False)}
    missing = [_as_it_counts(trial, config) for trial in taken if trial.user_attrs[CARRIED_KEY] not in there]
    study.add_trials(missing)
    return Migrated(len(missing), len(taken))


def _check_contract(name: str, storage: optuna.storages.BaseStorage, contract: Contract) -> None:
    stored = optuna.load_study(study_name=name, storage=storage).user_attrs[CONTRACT_KEY]
    for key in ("data", "folds", "objective", "order", "seed"):
        was, now = stored.get(key, getattr(Contract, key, None)), getattr(contract, key)
        if was != now:
            raise StudyError(
                f"migrate: {key} of study {name!r} was {was} and is now {now}, so its trials do not compare; restore "
                "it, or start without --migrate"
            )


def _as_it_counts(trial: FrozenTrial, config: StudyConfig) -> FrozenTrial:
    """Return a trial that is this study's baseline only if it is of this space's base."""
    if trial.user_attrs.get("baseline") and trial.params != config.space.baseline():
        trial.user_attrs = {name: value for name, value in trial.user_attrs.items() if name != "baseline"}
    return trial
