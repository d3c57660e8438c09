"""ASHA of Syne Tune over random configurations, for :mod:`search_peers`: its scheduler decides after each epoch.

Syne Tune's back end and tuner are left out: with one worker a trial runs until its scheduler stops it, and then the
next one is suggested. The scheduler has Syne Tune's own defaults (reduction factor 3, grace period 1).
"""

import logging
from datetime import datetime

import numpy as np
from search_pipe import loss_after, task
from syne_tune import config_space
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.baselines import ASHA
from syne_tune.optimizer.scheduler import SchedulerDecision


def main() -> None:
    logging.disable(logging.WARNING)
    given = task()
    np.random.seed(given["seed"])  # noqa: NPY002 - its searcher draws from NumPy's global generator, whatever its seed
    domains = {name: domain(one) for name, one in given["space"].items()}
    scheduler = ASHA(domains, metric="loss", time_attr="epoch", max_t=given["total"], random_seed=given["seed"])
    number = 0
    while True:
        trial = Trial(number, scheduler.suggest().config, datetime.min)
        scheduler.on_trial_add(trial)
        train(trial, scheduler, given["total"])
        number += 1


def train(trial: Trial, scheduler: ASHA, total: int) -> None:
    """Train until the scheduler stops the trial, it diverges, or ends."""
    for step in range(1, total + 1):
        loss = loss_after(trial.config, step)
        if loss is None:
            scheduler.on_trial_error(trial)
            return
        result = {"epoch": step, "loss": loss}
        if step == total:
            scheduler.on_trial_complete(trial, result)
        elif scheduler.on_trial_result(trial, result) == SchedulerDecision.STOP:
            scheduler.on_trial_remove(trial)
            return


def domain(one: dict[str, float]) -> config_space.Domain:
    """Return Syne Tune's domain."""
    if one["integer"]:
        return (config_space.lograndint if one["log"] else config_space.randint)(one["low"], one["high"])
    return (config_space.loguniform if one["log"] else config_space.uniform)(one["low"], one["high"])


if __name__ == "__main__":
    main()
