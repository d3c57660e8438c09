"""ASHA of Ray Tune over random configurations, for :mod:`search_peers`: ``ASHAScheduler`` decides after each epoch.

Ray's event loop and its actors are left out: with one worker a trial runs until its scheduler stops it, and then the
next one starts. The scheduler has Ray's own defaults (reduction factor 4, grace period 1).
"""

import json
import sys

import numpy as np
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler


class Stub(Trial):
    """A trial that a scheduler can look at, without the parts that need a running Ray."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"{number:08d}"

    def __repr__(self) -> str:
        return self.trial_id


def main() -> None:
    task = json.loads(sys.stdin.readline())
    domains = {name: domain(one) for name, one in task["space"].items()}
    scheduler = ASHAScheduler(time_attr="epoch", metric="loss", mode="min", max_t=task["total"])
    rng = np.random.default_rng(task["seed"])
    number = 0
    while True:
        trial = Stub(number)
        number += 1
        params = {name: one.sample(random_state=rng) for name, one in domains.items()}
        scheduler.on_trial_add(None, trial)
        result = {}
        for step in range(1, task["total"] + 1):
            loss = asked(params, step)
            if loss is None:
                scheduler.on_trial_error(None, trial)
                break
            result = {"epoch": step, "loss": loss}
            if step == task["total"]:
                scheduler.on_trial_complete(None, trial, result)
            elif scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                scheduler.on_trial_remove(None, trial)
                break


def domain(one: dict[str, float]) -> tune.search.sample.Domain:
    """Return Ray's domain; its upper bound of integers is exclusive."""
    if one["integer"]:
        return (tune.lograndint if one["log"] else tune.randint)(one["low"], one["high"] + 1)
    return (tune.loguniform if one["log"] else tune.uniform)(one["low"], one["high"])


def asked(params: dict[str, object], step: int) -> float | None:
    """Return the loss of a configuration after an epoch."""
    print(json.dumps({"params": {name: plain(value) for name, value in params.items()}, "step": step}), flush=True)
    answer = sys.stdin.readline()
    if not answer:
        sys.exit()  # the budget is spent
    return json.loads(answer)


def plain(value: object) -> object:
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    main()
