"""When a study has done enough: its budget is spent, or it has stopped getting better than chance."""

import numpy as np

from hms_search.search.evidence import loss_of
from hms_search.search.history import StudyHistory
from hms_search.search.study import Patience, StudyConfig


def reason_to_stop(config: StudyConfig, history: StudyHistory) -> str:
    """Return why no more trials should be started, with the figures; empty where they should."""
    if config.max_epochs is not None or config.max_hours is not None:  # a pass over all trials, only where asked for
        epochs, hours = history.spent
        if config.max_epochs is not None and epochs >= config.max_epochs:
            return f"{epochs} epochs were trained, the budget is {config.max_epochs} (max_epochs)"
        if config.max_hours is not None and hours >= config.max_hours:
            return f"trials took {hours:.2f} hours, the budget is {config.max_hours:g} (max_hours)"
    return "" if config.patience is None else _no_gain(config.patience, history)


def _no_gain(patience: Patience, history: StudyHistory) -> str:
    losses = [loss_of(trial, history.direction) for trial in history.as_last_trained]
    before, recent = losses[: -patience.trials], losses[-patience.trials :]
    noise = patience.of_noise * history.evidence.told_apart
    one_fold = history.config.steps.n_folds == 1  # of which no noise is ever known: any gain counts
    if (not noise and not one_fold) or not np.isfinite(min(before, default=np.inf)):
        return ""
    gain = max(0.0, min(before) - min(recent))
    if gain > noise:
        return ""
    if one_fold:
        return f"the last {patience.trials} trials gained nothing; one fold tells no noise, any gain counts (patience)"
    return f"the last {patience.trials} trials gained {gain:.2g}, within the noise of {noise:.2g} (patience)"
