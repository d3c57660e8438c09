"""The rounds of a search as Optuna studies: taken up where they were left, or opened in the space the last one leaves.

Each is a study of its own in every respect, with its own MLflow experiment, so that it can be shown, resumed and
promoted by its name. It keeps why its bounds are where they are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import optuna

from hms_search.errors import StudyError
from hms_search.search.asking import derived_seed, keep_weights
from hms_search.search.contract import has_study
from hms_search.search.lineage import FIRST_KEY as FIRST_KEY
from hms_search.search.lineage import LINEAGE_KEY, Change, changes_of
from hms_search.search.rounds import PlayedRound, Round, carried_into, next_round, round_name
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import stored_config


@dataclass(frozen=True)
class RoundStudy:
    """A round as a study to run: its number from 1 on, the first one's name, its configuration, what it starts with."""

    number: int
    first: str
    config: StudyConfig
    start: Round | None = None

    @property
    def sampler_seed(self) -> int:
        """What its sampler starts from: with the first round's it would propose that one's first trials again."""
        seed = self.config.seed
        return seed if self.number == 1 else derived_seed("round", seed, self.number)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Why bounds moved; nothing for a first round."""
        return () if self.start is None else self.start.changes

    def begin(self, study: optuna.Study) -> None:
        """Keep the lineage with the round's study, and add the earlier trials that it lacks.

        ``weights: auto`` is settled as it was for the round before, so that the trials of both compare.
        """
        if self.start is None:
            return
        keep_weights(study, of=round_name(self.first, self.number - 1))
        if LINEAGE_KEY not in study.user_attrs:
            study.set_user_attr(FIRST_KEY, self.first)
            study.set_user_attr(LINEAGE_KEY, [asdict(change) for change in self.changes])
        for trial in self.start.missing(study.get_trials(deepcopy=False)):
            study.add_trial(trial)


def number_of_rounds(config: StudyConfig) -> int:
    """Return how many rounds a study has; one where it says nothing of rounds."""
    return 1 if config.rounds is None else config.rounds.count


def round_study(config: StudyConfig, played: Sequence[PlayedRound], storage: optuna.storages.BaseStorage) -> RoundStudy:
    """Return the round after those played; it follows from their record alone, in whatever session.

    A round that was opened keeps its space, also where trials were added to an earlier one since; those of them that
    lie in it are carried into it. Raises StudyError where a study has the round's name that is none.
    """
    if config.rounds is None:
        return RoundStudy(1, config.name, config)
    budget = {"trials": config.rounds.trials}
    if not played:
        return RoundStudy(1, config.name, config.model_copy(update=budget))
    following = next_round(played, config.rounds.narrow, direction=config.learned.direction, seed=config.seed)
    own = {"name": following.study, "space": following.space, "warm_start": ()}  # it starts with the carried trials
    named = config.model_copy(update={**budget, **own})
    if has_study(storage, following.study):
        study = optuna.load_study(study_name=following.study, storage=storage)
        if LINEAGE_KEY not in study.user_attrs and not study.get_trials(deepcopy=False):  # nobody has begun to run it
            return RoundStudy(following.number, config.name, named, following)
        if study.user_attrs.get(FIRST_KEY) != config.name:
            raise StudyError(
                f"round {following.number} of study {config.name!r} is to be called {following.study!r}, and there is "
                f"another study of that name; give this one another: --set name={config.name}_2"
            )
        space = StudyConfig.model_validate(stored_config(study)).space
        if space != following.space:
            changes = changes_of(study.user_attrs)
            kept = replace(following, space=space, changes=changes, carried=carried_into(played, space))
            return RoundStudy(following.number, config.name, named.model_copy(update={"space": space}), kept)
    return RoundStudy(following.number, config.name, named, following)


def played_round(config: StudyConfig, study: optuna.Study) -> PlayedRound:
    """Return the record of a round that has ended."""
    return PlayedRound(config.name, config.space, tuple(study.get_trials(deepcopy=False)))
