"""The doctor of studies: everything that is known to waste trials or to make scores worthless, looked for in a record.

Each check takes a study's history and yields what it finds. All but those of :data:`DEEP` are cheap enough for a look
after every trial.
"""

from collections.abc import Callable, Iterator

from hms_search.search import doctor_of_scores as scores
from hms_search.search import doctor_of_trials as trials
from hms_search.search.findings import Finding, worst_first
from hms_search.search.history import StudyHistory

Check = Callable[[StudyHistory], Iterator[Finding]]

LIVE: tuple[Check, ...] = (
    trials.everything_pruned,
    trials.constraints_exceeded,
    trials.failing,
    trials.left_running,
    trials.best_on_bound,
    trials.no_improvement,
    trials.too_few_trials,
    trials.sampler_that_waits,
    scores.leak,
    scores.folds_disagree,
    scores.strata_disagree,
    scores.seed_noise,
    scores.gain_by_folds,
)
"""Checks of milliseconds."""
DEEP: tuple[Check, ...] = (trials.without_effect,)
"""Checks that take a second or more."""
_OF_ONE_VALUE: tuple[Check, ...] = (
    trials.best_on_bound,
    trials.no_improvement,
    trials.without_effect,
    scores.gain_by_folds,
)
"""Checks that say nothing where a trial that is worse in the first aim may be best in another."""


def live_findings(history: StudyHistory) -> tuple[Finding, ...]:
    """Return what is found in milliseconds, worst first; a running study says each :attr:`Finding.what` once."""
    return _findings(history, LIVE)


def findings(history: StudyHistory) -> tuple[Finding, ...]:
    """Return everything that is found, worst first."""
    return _findings(history, (*LIVE, *DEEP))


def _findings(history: StudyHistory, checks: tuple[Check, ...]) -> tuple[Finding, ...]:
    apt = (check for check in checks if not history.config.aims or check not in _OF_ONE_VALUE)
    return worst_first(finding for check in apt for finding in check(history))
