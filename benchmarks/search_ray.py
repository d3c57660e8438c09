"""ASHA of Ray Tune over random configurations, for :mod:`search_peers`: ``ASHAScheduler`` decides after each epoch.

Ray's event loop and its actors are left out: with one worker a trial runs until its scheduler stops it, and then the
next one starts. The scheduler has Ray's own defaults (reduction factor 4, grace period 1).
"""

import numpy as np
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from search_pipe import loss_after, task


class Stub(Trial):
    """A trial that a scheduler can look at, without the parts that need a running Ray."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"{number:08d}"

    def __repr__(self) -> str:
        return self.trial_id


def main() -> None:
    given = task()
    domains = {name: domain(one) for name, one in given["space"].items()}
    scheduler = ASHAScheduler(time_attr="epoch", metric="loss", mode="min", max_t=given["total"])
    rng = np.random.default_rng(given["seed"])
    number = 0
    while True:
        trial = Stub(number)
        scheduler.on_trial_add(None, trial)
        params = {name: one.sample(random_state=rng) for name, one in domains.items()}
        train(trial, params, scheduler, given["total"])
        number += 1


def train(trial: Stub, params: dict[str, object], scheduler: ASHAScheduler, total: int) -> None:
    """Train until the scheduler stops the trial, it diverges, or ends."""
    for step in range(1, total + 1):
        loss = loss_after(params, step)
        if loss is None:
            scheduler.on_trial_error(None, trial)
            return
        result = {"epoch": step, "loss": loss}
        if step == total:
            scheduler.on_trial_complete(None, trial, result)
        elif scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
            return


def domain(one: dict[str, float]) -> tune.search.sample.Domain:
    """Return Ray's domain; its upper bound of integers is exclusive."""
    if one["integer"]:
        return (tune.lograndint if one["log"] else tune.randint)(one["low"], one["high"] + 1)
    return (tune.loguniform if one["log"] else tune.uniform)(one["low"], one["high"])


if __name__ == "__main__":
    main()
