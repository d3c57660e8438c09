"""What a study's scores show that makes them worth less: leaks, folds and strata that disagree, noise above gain."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from optuna.trial import TrialState

from hms_search.data.folds import Folds, GroupedFolds
from hms_search.search.evidence import fold_values, loss_of
from hms_search.search.findings import Finding
from hms_search.search.history import StudyHistory
from hms_search.search.narrowing import Narrow
from hms_search.search.outcomes import is_baseline
from hms_search.search.rank_agreement import Agreement, agreement, mean_agreement
from hms_search.search.repeated import Again
from hms_search.search.space import on_grid

_FEWEST_RANKED = 12
"""Below, a rank correlation of 0.6 cannot be told from none."""
_TOLD_APART = 1.645
"""One-sided, 5 %, of a normal difference."""
_WITHIN_NOISE = "the gain is within the noise of the seed"


def leak(history: StudyHistory) -> Iterator[Finding]:
    """Find patients on both sides of a fold."""
    folds, shared = history.config.folds, history.shared_patients
    if shared == 0 or (shared is None and isinstance(folds, GroupedFolds)):
        return
    counted = f"{shared} patients have" if shared is not None else "patients may have"
    both = history.config.learned.levels
    yield Finding(
        "note" if both else "error",
        "patients are on both sides of a fold",
        f"folds: {folds.name}; {counted} samples in more than one fold, which flatters every score",
        "compare by the score on folds of patients, which stands beside" if both else "folds: {name: grouped}",
    )


def folds_disagree(history: StudyHistory) -> Iterator[Finding]:
    """Find that the folds rank the trials differently, so that their mean ranks by chance."""
    found = mean_agreement(fold_values(history.trained))
    if found is not None and _disagree(found):
        yield Finding(
            "warning",
            "the folds rank the trials differently",
            str(found),
            f"{_more(history.config.folds)}, or more training.epochs",
        )


def strata_disagree(history: StudyHistory) -> Iterator[Finding]:
    """Find that votes of many and of few experts rank the trials differently, unless those of many are the aim."""
    if history.config.objective == "high":
        return
    scored = [
        (trial.user_attrs["kl_high"], trial.user_attrs["kl_low"])
        for trial in history.trained
        if trial.state == TrialState.COMPLETE and {"kl_high", "kl_low"} <= trial.user_attrs.keys()
    ]
    if not scored:
        return
    high, low = np.array(scored, dtype=np.float64).T
    found = agreement(high, low)
    if found is not None and _disagree(found):
        yield Finding(
            "warning",
            "HIGH and LOW votes rank the trials differently",
            str(found),
            f"objective: high, if that is what will be scored (now: {history.config.objective})",
        )


def seed_noise(history: StudyHistory) -> Iterator[Finding]:
    """Find that the gain over the baseline is no larger than what another seed alone changes."""
    if history.noise is not None:
        yield from _measured_noise(history, history.noise)
        return
    gain, (repeated, noise) = _gain(history), _seed_noise(history)
    if gain is None or noise is None:
        return
    needed = _TOLD_APART * math.sqrt(2) * noise
    if gain <= needed:
        yield _no_gain(
            history,
            _WITHIN_NOISE,
            f"the best is {gain:.2g} better than the baseline; the same parameters differ by a standard deviation of "
            f"{noise:.2g} between seeds ({repeated} configurations repeated), and it takes {needed:.2g} to tell",
        )


def gain_by_folds(history: StudyHistory) -> Iterator[Finding]:
    """Find that the gain over the baseline is within what the folds show of chance, where no seed was tried again."""
    gain, evidence = _gain(history), history.evidence
    enough = len(evidence.trials) >= Narrow().needed(len(history.config.space.parameters))
    if not enough or gain is None or evidence.noise is None or gain > evidence.told_apart:
        return
    if history.noise is None and _seed_noise(history)[1] is None:
        yield _no_gain(
            history,
            "the gain is within the noise of the folds",
            f"the best of {len(evidence.trials)} trials is {gain:.2g} better than the baseline; by how their "
            f"folds differ, it takes {evidence.told_apart:.2g} to tell two trials apart",
        )


def _gain(history: StudyHistory) -> float | None:
    """Return by how much the best is better than the baseline; None where one of them has no value."""
    baseline = [loss_of(trial, history.direction) for trial in history.ended if is_baseline(trial)]
    best = history.evidence.best
    return baseline[0] - best.loss if baseline and math.isfinite(baseline[0]) and best is not None else None


def _no_gain(history: StudyHistory, what: str, evidence: str) -> Finding:
    again = f"run the best and the baseline again under more seeds: hms-search noise {history.config.name}"
    return Finding("warning", what, evidence, again)


def _measured_noise(history: StudyHistory, noise: Again) -> Iterator[Finding]:
    for trial in noise.trials:
        if trial.gain is not None and trial.verdict == "within noise":
            gain, spreads = trial.gain, [one.spread for one in (trial, noise.baseline) if one.spread is not None]
            sds = (
                f", standard deviations between seeds {' and '.join(f'{sd:.2g}' for sd in spreads)}" if spreads else ""
            )
            yield Finding(
                "warning",
                _WITHIN_NOISE,
                f"trial {trial.trial} was {gain.recorded:.2g} better than the baseline; under {len(noise.seeds)} other "
                f"seeds {gain.mean:.2g} [{gain.low:.2g}, {gain.high:.2g}] over {gain.over}{sds}",
                f"search on, or tell smaller gains by more seeds: hms-search noise {history.config.name} --seeds "
                f"{2 * len(noise.seeds)}",
            )


def _seed_noise(history: StudyHistory) -> tuple[int, float | None]:
    """Return how many configurations ran more than once, and the standard deviation of a value between their runs."""
    groups: defaultdict[str, set[float]] = defaultdict(set)
    for trial in history.ended:
        if trial.state == TrialState.COMPLETE:
            params = on_grid(trial.params, trial.distributions)
            groups[json.dumps(params, sort_keys=True)].add(loss_of(trial, history.direction))
    repeated = [np.array(sorted(group)) for group in groups.values() if len(group) > 1]  # equal values: one run, twice
    if not repeated:
        return 0, None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in repeated)
    return len(repeated), math.sqrt(squares / sum(len(group) - 1 for group in repeated))


def _more(folds: Folds) -> str:
    """Return how to train more folds: those that are not in use, or smaller ones."""
    if folds.use is not None and len(folds.use) < folds.n_folds:
        return f"folds.use: null (all {folds.n_folds})"
    return f"folds.n_folds: {folds.n_folds + 1} or more{' with folds.use: null' if folds.use else ''}"


def _disagree(found: Agreement) -> bool:
    return found.trials >= _FEWEST_RANKED and found.low <= 0
